// Power delay profile, LINES = 1: one pair of one packet a workgroup.

@group(0) @binding(0) var<storage, read> samples: array<u32>;
@group(0) @binding(1) var<storage, read> gains: array<f32>;
// The column that each bin takes; NONE where it takes none.
@group(0) @binding(2) var<storage, read> source: array<u32>;
@group(0) @binding(3) var<storage, read_write> power: array<f32>;

const NONE: u32 = 0xffffffffu;

@compute @workgroup_size(LINE_THREADS)
fn delay(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) thread: u32) {
    let number = group.y * STEPS + group.x;
    let base_in = (number * PAIRS + group.z) * SUBCARRIERS;
    let to = (number * PAIRS + group.z) * LENGTH;
    let gain = gains[number];
    for (var i = thread; i < POINTS; i += LINE_THREADS) {
        var value = vec2f(0.0);
        if i < LENGTH && gain != 0.0 {
            let column = source[i];
            if column != NONE {
                // Conjugates go in, so the forward transform gives the inverse one's conjugates.
                value = times(sample(base_in + column) * vec2f(gain, -gain), before[i]);
            }
        }
        line[i] = value;
    }
    transform(0u, thread);
    for (var i = thread; i < LENGTH; i += LINE_THREADS) {
        let h = line[i] * (1.0 / f32(LENGTH));
        power[to + i] = dot(h, h);
    }
}
