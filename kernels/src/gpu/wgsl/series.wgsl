// Detrending and second-order sections along time, one stream a thread, in place.
//
// Numbers that must outlast f32 are pairs (high, low) whose sum is the value. Compilers may simplify what rounding
// makes of a sum; `opaque` hides intermediate results from them.

@group(0) @binding(0) var<storage, read_write> values: array<f32>;
// b0, b1, b2, a1, a2 of each section; then one pair of zeros.
@group(0) @binding(1) var<storage, read> coefficients: array<vec2f>;

var<private> zero: u32;
var<private> state: array<vec2f, 2u * SECTIONS + 1u>;

fn opaque(x: f32) -> f32 {
    return bitcast<f32>(bitcast<u32>(x) ^ zero);
}

fn settle(high: f32, low: f32) -> vec2f {
    let s = opaque(high + low);
    return vec2f(s, low - opaque(s - high));
}

fn plus(a: vec2f, b: vec2f) -> vec2f {
    let s = opaque(a.x + b.x);
    let bb = opaque(s - a.x);
    let da = opaque(a.x - opaque(s - bb));
    let db = opaque(b.x - bb);
    return settle(s, da + db + (a.y + b.y));
}

fn upper(x: f32) -> f32 {
    return bitcast<f32>(bitcast<u32>(x) & 0xfffff000u);
}

fn times(a: vec2f, b: vec2f) -> vec2f {
    let p = opaque(a.x * b.x);
    let ah = upper(a.x);
    let al = a.x - ah;
    let bh = upper(b.x);
    let bl = b.x - bh;
    let error = opaque(opaque(opaque(ah * bh - p) + ah * bl) + al * bh) + al * bl;
    return settle(p, error + (a.x * b.y + a.y * b.x));
}

// One sample through the cascade, transposed direct form II.
fn filtered(x: f32) -> f32 {
    var v = vec2f(x, 0.0);
    for (var s = 0u; s < SECTIONS; s += 1u) {
        let y = plus(times(coefficients[5u * s], v), state[2u * s]);
        let b1 = times(coefficients[5u * s + 1u], v);
        let a1 = times(coefficients[5u * s + 3u], y);
        state[2u * s] = plus(plus(b1, -a1), state[2u * s + 1u]);
        state[2u * s + 1u] = plus(times(coefficients[5u * s + 2u], v), -times(coefficients[5u * s + 4u], y));
        v = y;
    }
    return v.x;
}

fn restart() {
    for (var s = 0u; s < 2u * SECTIONS; s += 1u) {
        state[s] = vec2f(0.0);
    }
}

@compute @workgroup_size(64)
fn series(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= STREAMS {
        return;
    }
    zero = bitcast<u32>(coefficients[5u * SECTIONS].x);
    let first = id.y * (STEPS * STREAMS) + id.x;
    if MEAN {
        // Sums about the first value, so that they are of the size of what is left.
        let pivot = values[first];
        let centre = 0.5 * (f32(STEPS) - 1.0);
        var sum = vec2f(0.0);
        var moment = vec2f(0.0);
        for (var t = 0u; t < STEPS; t += 1u) {
            let v = values[first + t * STREAMS] - pivot;
            sum = plus(sum, vec2f(v, 0.0));
            if LINE {
                moment = plus(moment, times(vec2f(f32(t) - centre, 0.0), vec2f(v, 0.0)));
            }
        }
        let mean = sum.x / f32(STEPS);
        let slope = moment.x * MOMENT_SCALE;
        for (var t = 0u; t < STEPS; t += 1u) {
            let at = first + t * STREAMS;
            values[at] = values[at] - pivot - mean - slope * (f32(t) - centre);
        }
    }
    if SECTIONS > 0u {
        restart();
        for (var t = 0u; t < STEPS; t += 1u) {
            let at = first + t * STREAMS;
            values[at] = filtered(values[at]);
        }
        if BACKWARDS {
            restart();
            for (var t = STEPS; t > 0u; t -= 1u) {
                let at = first + (t - 1u) * STREAMS;
                values[at] = filtered(values[at]);
            }
        }
    }
}
