//! What training minimises.

use burn::tensor::{
    Device, Tensor, TensorData,
    activation::{log_softmax, relu},
};

use crate::{
    data::{Person, Trail},
    evaluate::metrics::{distance, relative, root},
    input::floor_centre,
    network::{ACTIVITIES, JOINTS, OUTPUTS, SLOTS, SPANS, Slot},
};

/// Which person each slot of a window stands for.
pub type Assignment = [Option<usize>; SLOTS];

/// The assignment of persons to slots with the least cost, for each window.
/// `outputs` is `[window][SLOTS][OUTPUTS]`.
pub fn assign(outputs: &[f32], persons: &[&[Person]], rooms: &[[f32; 3]]) -> Vec<Assignment> {
    outputs
        .chunks_exact(SLOTS * OUTPUTS)
        .zip(persons)
        .zip(rooms)
        .map(|((window, persons), room)| {
            let cost = |slot: usize, person: &Person| {
                let slot = Slot(&window[slot * OUTPUTS..(slot + 1) * OUTPUTS]);
                let presence = 1.0 / (1.0 + (-slot.presence()).exp());
                distance(slot.root_m(*room), root(&person.keypoints_m)) - presence
            };
            best_assignment(persons.len().min(SLOTS), |slot, person| cost(slot, &persons[person]))
        })
        .collect()
}

/// The assignment of `persons` persons to as many slots with the least total cost. The first slots are used: so slot k is
/// taken if there are more than k people, and a person alone is always the first slot's.
pub fn best_assignment(persons: usize, cost: impl Fn(usize, usize) -> f32) -> Assignment {
    fn search(
        person: usize,
        persons: usize,
        costs: &[[f32; SLOTS]; SLOTS],
        so_far: f32,
        now: &mut Assignment,
        best: &mut (f32, Assignment),
    ) {
        if person == persons {
            if so_far < best.0 {
                *best = (so_far, *now);
            }
            return;
        }
        for slot in 0..persons {
            if now[slot].is_none() {
                now[slot] = Some(person);
                search(person + 1, persons, costs, so_far + costs[slot][person], now, best);
                now[slot] = None;
            }
        }
    }
    let persons = persons.min(SLOTS);
    let mut costs = [[0.0; SLOTS]; SLOTS];
    for (slot, row) in costs.iter_mut().enumerate() {
        for (person, c) in row.iter_mut().enumerate().take(persons) {
            *c = cost(slot, person);
        }
    }
    let mut best = (f32::INFINITY, [None; SLOTS]);
    search(0, persons, &costs, 0.0, &mut [None; SLOTS], &mut best);
    best.1
}

/// The loss of a batch, and its parts for the log: presence, root, pose (the last two in metres, mean over coordinates).
pub struct Loss {
    /// What is minimised.
    pub total: Tensor<1>,
    /// `[3]`: cross-entropy of presence, mean absolute error of root and of pose coordinates in metres.
    pub parts: Tensor<1>,
}

/// Compares `outputs` `[windows, SLOTS, OUTPUTS]` with the persons assigned to the slots. What counts most is what MPJPE measures, how far
/// joints are from where they are in the room; root and pose apart count half of that, together.
pub fn loss(
    outputs: Tensor<3>,
    persons: &[&[Person]],
    rooms: &[[f32; 3]],
    assignments: &[Assignment],
    device: &Device,
) -> Loss {
    let rows = assignments.len() * SLOTS;
    let mut present = vec![0.0f32; rows];
    let mut roots = vec![0.0f32; rows * 3];
    let mut poses = vec![0.0f32; rows * 3 * JOINTS];
    let mut activities = vec![0.0f32; rows * ACTIVITIES];
    let mut posed = vec![0.0f32; rows];
    let mut matched = 0.0f32;
    for (window, assignment) in assignments.iter().enumerate() {
        for (slot, person) in assignment.iter().enumerate() {
            let Some(person) = person.map(|p| &persons[window][p]) else { continue };
            let row = window * SLOTS + slot;
            matched += 1.0;
            present[row] = 1.0;
            posed[row] = f32::from(u8::from(person.pose_known));
            let r = root(&person.keypoints_m);
            let centre = floor_centre(rooms[window]);
            for i in 0..3 {
                roots[row * 3 + i] = r[i] - centre[i];
            }
            for (o, v) in
                poses[row * 3 * JOINTS..].iter_mut().zip(relative(&person.keypoints_m).iter().flatten())
            {
                *o = *v;
            }
            if let Some(activity) = person.activity {
                activities[row * ACTIVITIES + activity.min(ACTIVITIES - 1)] = 1.0;
            }
        }
    }
    let tensor = |v: Vec<f32>, n: usize| Tensor::<2>::from_data(TensorData::new(v, [rows, n]), device);
    let (present, posed) = (tensor(present, 1), tensor(posed, 1));
    let (roots, poses, activities) =
        (tensor(roots, 3), tensor(poses, 3 * JOINTS), tensor(activities, ACTIVITIES));
    let o = outputs.reshape([rows, OUTPUTS]);
    let per_match = 1.0 / matched.max(1.0);

    let logit = o.clone().narrow(1, 0, 1);
    // Binary cross-entropy with logits in its stable form.
    let presence = (relu(logit.clone()) - logit.clone() * present.clone()
        + (logit.abs().neg().exp() + 1.0).log())
    .mean();

    let root_off = o.clone().narrow(1, Slot::ROOT, 3).mul_scalar(Slot::ROOT_UNIT_M) - roots;
    let root_error = root_off.clone().abs();
    let root_scale = o.clone().narrow(1, Slot::ROOT_SCALE, 1).clamp(-4.0, 2.0);
    let root_mean = root_error.clone().mean_dim(1) * present.clone();
    let root_nll = (root_error.mean_dim(1) * root_scale.clone().neg().exp() + root_scale) * present.clone();

    let pose_off = o.clone().narrow(1, Slot::POSE, 3 * JOINTS).mul_scalar(Slot::POSE_UNIT_M) - poses;
    let pose_off: Tensor<3> = pose_off.reshape([rows, JOINTS, 3]);
    let joint_error = pose_off.clone().abs().mean_dim(2).reshape([rows, JOINTS]);
    let joint_scale = o.clone().narrow(1, Slot::SCALE, JOINTS).clamp(-4.0, 2.0);
    let pose_mean = joint_error.clone().mean_dim(1) * posed.clone();
    let pose_nll = (joint_error * joint_scale.clone().neg().exp() + joint_scale).mean_dim(1) * posed.clone();

    let root_off: Tensor<3> = root_off.reshape([rows, 1, 3]);
    // Where the pose is not known a joint is off by as much as the root.
    let joint_off = pose_off.clone() * posed.clone().reshape([rows, 1, 1]) + root_off.clone();
    let root_length = mean_length(root_off) * present.clone();
    let pose_length = mean_length(pose_off) * posed;
    let joint_length = mean_length(joint_off) * present;

    let activity =
        (log_softmax(o.narrow(1, Slot::ACTIVITY, ACTIVITIES), 1) * activities).sum().mul_scalar(-per_match);
    let per_person = |t: Tensor<2>| t.sum().mul_scalar(per_match);
    let (root, pose) = (per_person(root_mean), per_person(pose_mean));
    let total = presence.clone().mul_scalar(2.0)
        + per_person(joint_length).mul_scalar(1.2)
        + per_person(root_length + pose_length).mul_scalar(0.6)
        + (per_person(root_nll) + per_person(pose_nll)).mul_scalar(0.05)
        + activity.mul_scalar(0.1);
    Loss { total, parts: Tensor::cat(vec![presence, root, pose], 0) }
}

/// Mean length of a row's vectors, smooth at nothing: `[rows, vectors, 3]` to `[rows, 1]`.
fn mean_length(of: Tensor<3>) -> Tensor<2> {
    let rows = of.dims()[0];
    of.square().sum_dim(2).add_scalar(1e-6).sqrt().mean_dim(1).reshape([rows, 1])
}

/// How much [`trail`] counts beside [`loss`].
pub const TRAIL_WEIGHT: f32 = 2.0;

/// Mean absolute error of a root coordinate in metres, of `trail` `[windows, SPANS, SLOTS * 3]` at the ends of all spans of
/// the persons assigned to the slots.
pub fn trail(
    trail: Tensor<3>,
    trails: &[Vec<Trail>],
    rooms: &[[f32; 3]],
    assignments: &[Assignment],
    device: &Device,
) -> Tensor<1> {
    let shape = [assignments.len(), SPANS, 3 * SLOTS];
    let numbers = shape.iter().product();
    let (mut truth, mut known) = (vec![0.0f32; numbers], vec![0.0f32; numbers]);
    let mut matched = 0.0f32;
    for (window, assignment) in assignments.iter().enumerate() {
        let centre = floor_centre(rooms[window]);
        for (slot, person) in assignment.iter().enumerate() {
            let Some(roots) = person.map(|p| &trails[window][p]) else { continue };
            matched += 1.0;
            for (span, root) in roots.iter().enumerate() {
                let from = ((window * SPANS + span) * SLOTS + slot) * 3;
                for i in 0..3 {
                    truth[from + i] = root[i] - centre[i];
                    known[from + i] = 1.0;
                }
            }
        }
    }
    let tensor = |v: Vec<f32>| Tensor::<3>::from_data(TensorData::new(v, shape), device);
    let error = (trail.mul_scalar(Slot::ROOT_UNIT_M) - tensor(truth)).abs() * tensor(known);
    error.sum().div_scalar(matched.max(1.0) * (3 * SPANS) as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_assignment_is_the_cheapest_of_all() {
        let costs = [[4.0, 1.0, 3.0], [2.0, 0.0, 5.0], [3.0, 2.0, 2.0]];
        // By hand: slot 1 takes person 0 (2), slot 0 person 1 (1), slot 2 person 2 (2).
        assert_eq!(best_assignment(3, |s, p| costs[s][p]), [Some(1), Some(0), Some(2)]);
        assert_eq!(best_assignment(2, |s, p| costs[s][p]), [Some(1), Some(0), None]);
        assert_eq!(best_assignment(1, |s, p| costs[s][p]), [Some(0), None, None]);
        assert_eq!(best_assignment(0, |s, p| costs[s][p]), [None; 3]);
    }
}
