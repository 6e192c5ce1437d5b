// Doppler spectrum of one pair in one frame a workgroup: the mean over columns, LINES of them at a time.

@group(0) @binding(0) var<storage, read> gains: array<f32>;
@group(0) @binding(1) var<storage, read> part_re: array<f32>;
@group(0) @binding(2) var<storage, read> part_im: array<f32>;
@group(0) @binding(3) var<storage, read_write> power: array<f32>;

const THREADS: u32 = LINES * LINE_THREADS;
const BINS: u32 = (LENGTH + THREADS - 1u) / THREADS;

// Sums of what each thread has loaded; then the lines' own in the first LINES.
var<workgroup> means: array<vec2f, THREADS>;
var<workgroup> received: atomic<u32>;

fn value(at: u32) -> vec2f {
    if RATIO {
        return vec2f(part_re[at], part_im[at]);
    }
    return vec2f(part_re[at], 0.0);
}

@compute @workgroup_size(THREADS)
fn doppler(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
    let first = group.y * STEPS + group.x * HOP;
    let pair = group.z;
    var sums: array<f32, BINS>;
    if thread == 0u {
        atomicStore(&received, 0u);
    }
    workgroupBarrier();
    for (var i = thread; i < LENGTH; i += THREADS) {
        if gains[first + i] != 0.0 {
            atomicAdd(&received, 1u);
        }
    }
    workgroupBarrier();
    let count = atomicLoad(&received);

    for (var column = 0u; column < COLUMNS; column += LINES) {
        // Neighbouring threads take neighbouring columns of one packet, as they lie in memory.
        let own = thread % LINES;
        let sound = column + own < COLUMNS && count >= 2u;
        // Missing packets are zeros in the ratio and the amplitude alike.
        var sum = vec2f(0.0);
        for (var i = thread / LINES; i < POINTS; i += LINE_THREADS) {
            var x = vec2f(0.0);
            if sound && i < LENGTH {
                x = value((first + i) * (PAIRS * COLUMNS) + pair * COLUMNS + column + own);
            }
            line[own * POINTS + i] = x;
            sum += x;
        }
        means[thread] = sum;
        for (var half = LINE_THREADS / 2u; half > 0u; half >>= 1u) {
            workgroupBarrier();
            if thread / LINES < half {
                means[thread] += means[thread + half * LINES];
            }
        }
        workgroupBarrier();
        let mean = means[own] / f32(max(count, 1u));
        for (var i = thread / LINES; i < LENGTH; i += LINE_THREADS) {
            let at = own * POINTS + i;
            let got = sound && gains[first + i] != 0.0;
            line[at] = times(select(vec2f(0.0), line[at] - mean, got), before[i]);
        }
        transform((thread / LINE_THREADS) * POINTS, thread % LINE_THREADS);
        for (var b = 0u; b < BINS; b += 1u) {
            let i = thread + b * THREADS;
            if i < LENGTH {
                for (var l = 0u; l < LINES; l += 1u) {
                    let h = line[l * POINTS + i];
                    sums[b] += dot(h, h);
                }
            }
        }
        workgroupBarrier();
    }

    // Zero frequency in the middle.
    let to = ((group.y * PAIRS + pair) * FRAMES + group.x) * LENGTH;
    for (var b = 0u; b < BINS; b += 1u) {
        let i = thread + b * THREADS;
        if i < LENGTH {
            power[to + (i + LENGTH / 2u) % LENGTH] = sums[b] * SCALE;
        }
    }
}
