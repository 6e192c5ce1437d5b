// Hampel filter over time, one value a thread; packets that were not received are passed over.

@group(0) @binding(0) var<storage, read> gains: array<f32>;
@group(0) @binding(1) var<storage, read> raw: array<f32>;
@group(0) @binding(2) var<storage, read_write> amplitude: array<f32>;

// Sorts behind every value.
const BEHIND: f32 = 3.4e38;
const SPAN: u32 = 2u * HALF + 1u;

var<private> values: array<f32, SPAN>;

// Median of the first `n` in order, by odd-even transposition.
fn median(n: u32) -> f32 {
    for (var sweep = 0u; sweep < SPAN; sweep += 1u) {
        for (var i = sweep & 1u; i + 1u < SPAN; i += 2u) {
            let low = min(values[i], values[i + 1u]);
            values[i + 1u] = max(values[i], values[i + 1u]);
            values[i] = low;
        }
    }
    let upper = values[n / 2u];
    let lower = values[(n - 1u) / 2u];
    return select(0.5 * (lower + upper), upper, (n & 1u) == 1u);
}

@compute @workgroup_size(64)
fn hampel(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= STEPS * STREAMS {
        return;
    }
    let t = id.x / STREAMS;
    let stream = id.x % STREAMS;
    let first = id.y * STEPS;
    let at = (first + t) * STREAMS + stream;
    let value = raw[at];
    if gains[first + t] == 0.0 {
        amplitude[at] = 0.0;
        return;
    }
    var n = 1u;
    values[HALF] = value;
    var before = t;
    var after = t;
    for (var i = 0u; i < HALF; i += 1u) {
        var found = BEHIND;
        loop {
            if before == 0u { break; }
            before -= 1u;
            if gains[first + before] != 0.0 {
                found = raw[(first + before) * STREAMS + stream];
                n += 1u;
                break;
            }
        }
        values[i] = found;
        found = BEHIND;
        loop {
            if after + 1u >= STEPS { break; }
            after += 1u;
            if gains[first + after] != 0.0 {
                found = raw[(first + after) * STREAMS + stream];
                n += 1u;
                break;
            }
        }
        values[HALF + 1u + i] = found;
    }
    let middle = median(n);
    for (var i = 0u; i < SPAN; i += 1u) {
        values[i] = select(BEHIND, abs(values[i] - middle), i < n);
    }
    let limit = median(n) * LIMIT;
    amplitude[at] = select(value, middle, abs(value - middle) > limit);
}
