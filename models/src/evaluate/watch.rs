//! A network that looks at a sequence from its beginning to its end, as it does in service.

use std::collections::BTreeMap;

use rayon::prelude::*;

use crate::{
    data::Sequence,
    input::{BLOCKS, EARLIER, Earlier, Memory, Withheld},
    network::{OUTPUTS, SLOTS},
    predictor::{PredictError, Predictor},
};

/// Gives all windows' ends and plain answers, `[SLOTS][OUTPUTS]`, in order.
///
/// # Errors
/// When the device fails.
pub(crate) fn watch(
    predictor: &Predictor,
    sequence: &Sequence,
    withheld: &Withheld,
    mut each: impl FnMut(usize, &[f32]),
) -> Result<(), PredictError> {
    let mut left: BTreeMap<usize, Memory> = BTreeMap::new();
    let ends: Vec<usize> = sequence.ends().collect();
    // What comes after a whole window may be asked for what is left of this one.
    for ends in ends.chunks(BLOCKS) {
        let earlier = |end: usize| -> Earlier {
            std::array::from_fn(|i| {
                let before = end.checked_sub((i + 1) * BLOCKS).filter(|_| i < withheld.earlier());
                before.and_then(|end| left.get(&end).cloned())
            })
        };
        let inputs: Vec<_> = ends
            .par_iter()
            .map(|&end| {
                let mut input = sequence.input_without(end, withheld);
                input.earlier = earlier(end);
                input
            })
            .collect();
        let answers = predictor.answers(&inputs)?;
        for (answer, &end) in answers.chunks_exact(predictor.answer()).zip(ends) {
            let (slots, memory) = answer.split_at(SLOTS * OUTPUTS);
            each(end, slots);
            left.insert(end, memory.into());
        }
        let oldest = ends.first().map_or(0, |end| end.saturating_sub(EARLIER * BLOCKS));
        left.retain(|end, _| *end >= oldest);
    }
    Ok(())
}
