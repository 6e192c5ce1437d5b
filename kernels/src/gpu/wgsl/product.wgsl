// Unpacked samples of the kept columns, or their conjugate products with one receive antenna's, one value a thread.

@group(0) @binding(0) var<storage, read> samples: array<u32>;
@group(0) @binding(1) var<storage, read> columns: array<u32>;
@group(0) @binding(2) var<storage, read_write> products: array<vec2f>;

@compute @workgroup_size(64)
fn product(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= PAIRS * COLUMNS {
        return;
    }
    let pair = id.x / COLUMNS;
    let column = columns[id.x % COLUMNS];
    let packet = id.y * (PAIRS * SUBCARRIERS);
    let h = sample(packet + pair * SUBCARRIERS + column);
    var out = h;
    if REFERENCE {
        let reference = pair / RX * RX + ANTENNA;
        let r = sample(packet + reference * SUBCARRIERS + column);
        out = vec2f(dot(h, r), h.y * r.x - h.x * r.y);
    }
    products[id.y * (PAIRS * COLUMNS) + id.x] = out;
}
