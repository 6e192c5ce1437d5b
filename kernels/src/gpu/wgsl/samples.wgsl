// Packed complex samples, [window][T][pair][subcarrier], and arithmetic that does not lean on the driver's: Vulkan
// allows atan2 an error of 4096 units in the last place and sin and cos one of 2^-11.

override FORMAT: u32 = 0u;

fn sample(v: u32) -> vec2f {
    if FORMAT <= 1u {
        let word = bitcast<i32>(samples[v >> 1u]);
        let at = (v & 1u) * 16u;
        let first = f32(extractBits(word, at, 8u));
        let second = f32(extractBits(word, at + 8u, 8u));
        return select(vec2f(second, first), vec2f(first, second), FORMAT == 0u);
    }
    if FORMAT == 2u {
        let word = bitcast<i32>(samples[v]);
        return vec2f(f32(extractBits(word, 0u, 16u)), f32(extractBits(word, 16u, 16u)));
    }
    return vec2f(bitcast<f32>(samples[2u * v]), bitcast<f32>(samples[2u * v + 1u]));
}

// Exponent all ones: infinite or no number. Comparisons would not do, compilers may take floats for finite.
fn unsound(bits: u32) -> bool {
    return (bits & 0x7f800000u) == 0x7f800000u;
}

fn broken(v: u32) -> bool {
    if FORMAT == 3u {
        return unsound(samples[2u * v]) || unsound(samples[2u * v + 1u]);
    }
    return false;
}

// The polynomial of the CPU's atan2.
fn angle(y: f32, x: f32) -> f32 {
    let ax = abs(x);
    let ay = abs(y);
    let a = min(ax, ay) / max(max(ax, ay), 1.17549435e-38);
    let s = a * a;
    var p = -4.0545617e-3;
    p = p * s + 2.186294e-2;
    p = p * s - 5.59123e-2;
    p = p * s + 9.642196e-2;
    p = p * s - 1.3908629e-1;
    p = p * s + 1.9946566e-1;
    p = p * s - 3.332986e-1;
    p = p * s + 9.9999934e-1;
    var r = p * a;
    r = select(r, 1.57079633 - r, ax < ay);
    r = select(r, 3.14159265 - r, x < 0.0);
    return bitcast<f32>(bitcast<u32>(r) | (bitcast<u32>(y) & 0x80000000u));
}
