//! Files of numbers as the public sets publish them.

/// A NumPy array of f64.
pub fn npy(shape: &[usize], values: &[f64]) -> Vec<u8> {
    let header = format!("{{'descr': '<f8', 'fortran_order': False, 'shape': {shape:?}, }}");
    let header = header.replace('[', "(").replace(']', ")");
    let header = format!("{header:<117}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.bytes());
    bytes.extend(values.iter().flat_map(|v| v.to_le_bytes()));
    bytes
}

/// A MATLAB file of version 5: name, shape, real and imaginary parts of each array.
pub fn matlab(arrays: &[(&str, &[usize], &[f64], Option<&[f64]>)]) -> Vec<u8> {
    let element = |kind: u32, data: &[u8]| {
        let mut bytes = [kind.to_le_bytes(), (data.len() as u32).to_le_bytes()].concat();
        bytes.extend(data);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    };
    let doubles =
        |values: &[f64]| element(9, &values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>());
    let mut file = vec![b' '; 124];
    file.extend([0x00, 0x01, b'I', b'M']);
    for (name, shape, values, imaginary) in arrays {
        let shape: Vec<u8> = shape.iter().flat_map(|d| (*d as u32).to_le_bytes()).collect();
        let flags = [6, if imaginary.is_some() { 8 } else { 0 }, 0, 0, 0, 0, 0, 0];
        let mut parts =
            [element(6, &flags), element(5, &shape), element(1, name.as_bytes()), doubles(values)].concat();
        parts.extend(imaginary.map(doubles).unwrap_or_default());
        file.extend(element(14, &parts));
    }
    file
}
