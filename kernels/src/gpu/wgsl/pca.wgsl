// First components over streams, one window a workgroup: block power iteration, then one Rayleigh-Ritz step. A thread
// owns the streams that leave its number over 256; what others wrote is read behind `settled`. Each iteration is a dispatch
// of its own: lavapipe ends the loops of an invocation after 65,535 turns in all.

@group(0) @binding(0) var<storage, read> values: array<f32>;
@group(0) @binding(1) var<storage, read> start: array<f32>;
@group(0) @binding(2) var<storage, read_write> centred: array<f32>;
@group(0) @binding(3) var<storage, read_write> basis: array<f32>;
@group(0) @binding(4) var<storage, read_write> scores: array<f32>;
@group(0) @binding(5) var<storage, read_write> variances: array<f32>;

const THREADS: u32 = 256u;

var<workgroup> sums: array<f32, THREADS>;
var<workgroup> gram: array<f32, K * K>;
var<workgroup> turned: array<f32, K * K>;
var<workgroup> order: array<u32, K>;
var<workgroup> signs: array<f32, K>;

fn settled() {
    storageBarrier();
    workgroupBarrier();
}

fn total(thread: u32, x: f32) -> f32 {
    sums[thread] = x;
    for (var half = THREADS / 2u; half > 0u; half >>= 1u) {
        workgroupBarrier();
        if thread < half {
            sums[thread] += sums[thread + half];
        }
    }
    workgroupBarrier();
    let sum = sums[0];
    workgroupBarrier();
    return sum;
}

fn basis_dot(thread: u32, a: u32, b: u32) -> f32 {
    var acc = 0.0;
    for (var s = thread; s < STREAMS; s += THREADS) {
        acc += basis[a + s] * basis[b + s];
    }
    return total(thread, acc);
}

// Gram-Schmidt, twice for stability; a row that vanishes becomes zeros.
fn orthonormalise(thread: u32, axes: u32) {
    for (var i = 0u; i < K; i += 1u) {
        let row = axes + i * STREAMS;
        let length = sqrt(basis_dot(thread, row, row));
        for (var again = 0u; again < 2u; again += 1u) {
            for (var j = 0u; j < i; j += 1u) {
                let other = axes + j * STREAMS;
                let along = basis_dot(thread, row, other);
                for (var s = thread; s < STREAMS; s += THREADS) {
                    basis[row + s] -= along * basis[other + s];
                }
            }
        }
        let left = sqrt(basis_dot(thread, row, row));
        var scale = 0.0;
        if left > 1e-6 * length && left > 0.0 {
            scale = 1.0 / left;
        }
        for (var s = thread; s < STREAMS; s += THREADS) {
            basis[row + s] *= scale;
        }
    }
}

fn project(thread: u32, block: u32, axes: u32, out: u32) {
    settled();
    for (var i = thread; i < K * STEPS; i += THREADS) {
        let row = block + (i % STEPS) * STREAMS;
        let axis = axes + (i / STEPS) * STREAMS;
        var acc = 0.0;
        var s = 0u;
        for (; s + 4u <= STREAMS; s += 4u) {
            acc += centred[row + s] * basis[axis + s];
            acc += centred[row + s + 1u] * basis[axis + s + 1u];
            acc += centred[row + s + 2u] * basis[axis + s + 2u];
            acc += centred[row + s + 3u] * basis[axis + s + 3u];
        }
        for (; s < STREAMS; s += 1u) {
            acc += centred[row + s] * basis[axis + s];
        }
        scores[out + i] = acc;
    }
    settled();
}

fn back_project(thread: u32, block: u32, axes: u32, out: u32) {
    for (var k = 0u; k < K; k += 1u) {
        for (var s = thread; s < STREAMS; s += THREADS) {
            var acc = 0.0;
            for (var t = 0u; t < STEPS; t += 1u) {
                acc += centred[block + t * STREAMS + s] * scores[out + k * STEPS + t];
            }
            basis[axes + k * STREAMS + s] = acc;
        }
    }
}

fn score_dot(thread: u32, a: u32, b: u32) -> f32 {
    var acc = 0.0;
    for (var t = thread; t < STEPS; t += THREADS) {
        acc += scores[a + t] * scores[b + t];
    }
    return total(thread, acc);
}

// Eigenvectors of `gram` into the columns of `turned`, by Jacobi's rotations; `order` sorts them by falling eigenvalue.
fn diagonalise() {
    for (var i = 0u; i < K * K; i += 1u) {
        turned[i] = select(0.0, 1.0, i % (K + 1u) == 0u);
    }
    for (var sweep = 0u; sweep < 30u; sweep += 1u) {
        for (var i = 0u; i < K; i += 1u) {
            for (var j = i + 1u; j < K; j += 1u) {
                let aa = gram[i * K + i];
                let bb = gram[j * K + j];
                let ab = gram[i * K + j];
                if abs(ab) > 1e-9 * sqrt(aa * bb) {
                    let ratio = (bb - aa) / (2.0 * ab);
                    let t = select(-1.0, 1.0, ratio >= 0.0) / (abs(ratio) + sqrt(1.0 + ratio * ratio));
                    let cosine = 1.0 / sqrt(1.0 + t * t);
                    let sine = t * cosine;
                    for (var k = 0u; k < K; k += 1u) {
                        let x = gram[k * K + i];
                        let y = gram[k * K + j];
                        gram[k * K + i] = cosine * x - sine * y;
                        gram[k * K + j] = sine * x + cosine * y;
                        let v = turned[k * K + i];
                        let w = turned[k * K + j];
                        turned[k * K + i] = cosine * v - sine * w;
                        turned[k * K + j] = sine * v + cosine * w;
                    }
                    for (var k = 0u; k < K; k += 1u) {
                        let x = gram[i * K + k];
                        let y = gram[j * K + k];
                        gram[i * K + k] = cosine * x - sine * y;
                        gram[j * K + k] = sine * x + cosine * y;
                    }
                }
            }
        }
    }
    for (var i = 0u; i < K; i += 1u) {
        order[i] = i;
    }
    for (var i = 0u; i < K; i += 1u) {
        for (var j = i + 1u; j < K; j += 1u) {
            if gram[order[j] * (K + 1u)] > gram[order[i] * (K + 1u)] {
                let other = order[i];
                order[i] = order[j];
                order[j] = other;
            }
        }
    }
}

@compute @workgroup_size(THREADS)
fn pca_begin(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
    let block = group.x * (STEPS * STREAMS);
    let axes = group.x * (K * STREAMS);
    for (var s = thread; s < STREAMS; s += THREADS) {
        let pivot = values[block + s];
        var sum = 0.0;
        for (var t = 0u; t < STEPS; t += 1u) {
            sum += values[block + t * STREAMS + s] - pivot;
        }
        let mean = sum / f32(STEPS);
        for (var t = 0u; t < STEPS; t += 1u) {
            let at = block + t * STREAMS + s;
            centred[at] = values[at] - pivot - mean;
        }
        for (var k = 0u; k < K; k += 1u) {
            basis[axes + k * STREAMS + s] = start[k * STREAMS + s];
        }
    }
    orthonormalise(thread, axes);
}

@compute @workgroup_size(THREADS)
fn pca_iterate(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
    let block = group.x * (STEPS * STREAMS);
    let axes = group.x * (K * STREAMS);
    let out = group.x * (K * STEPS);
    project(thread, block, axes, out);
    back_project(thread, block, axes, out);
    orthonormalise(thread, axes);
}

@compute @workgroup_size(THREADS)
fn pca_end(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
    let block = group.x * (STEPS * STREAMS);
    let axes = group.x * (K * STREAMS);
    let out = group.x * (K * STEPS);
    project(thread, block, axes, out);
    for (var i = 0u; i < K; i += 1u) {
        for (var j = i; j < K; j += 1u) {
            let product = score_dot(thread, out + i * STEPS, out + j * STEPS);
            if thread == 0u {
                gram[i * K + j] = product;
                gram[j * K + i] = product;
            }
        }
    }
    workgroupBarrier();
    if thread == 0u {
        diagonalise();
    }
    workgroupBarrier();
    for (var s = thread; s < STREAMS; s += THREADS) {
        var old: array<f32, K>;
        for (var k = 0u; k < K; k += 1u) {
            old[k] = basis[axes + k * STREAMS + s];
        }
        for (var k = 0u; k < K; k += 1u) {
            var acc = 0.0;
            for (var j = 0u; j < K; j += 1u) {
                acc += turned[j * K + order[k]] * old[j];
            }
            basis[axes + k * STREAMS + s] = acc;
        }
    }
    project(thread, block, axes, out);
    for (var k = 0u; k < K; k += 1u) {
        let energy = score_dot(thread, out + k * STEPS, out + k * STEPS);
        if thread == 0u {
            variances[group.x * K + k] = energy / f32(max(STEPS, 2u) - 1u);
        }
    }
    // The loading of greatest magnitude is positive.
    if thread < K {
        var peak = 0.0;
        for (var s = 0u; s < STREAMS; s += 1u) {
            let v = basis[axes + thread * STREAMS + s];
            if abs(v) > abs(peak) {
                peak = v;
            }
        }
        signs[thread] = select(1.0, -1.0, peak < 0.0);
    }
    settled();
    for (var k = 0u; k < K; k += 1u) {
        for (var s = thread; s < STREAMS; s += THREADS) {
            basis[axes + k * STREAMS + s] *= signs[k];
        }
        for (var t = thread; t < STEPS; t += THREADS) {
            scores[out + k * STEPS + t] *= signs[k];
        }
    }
}
