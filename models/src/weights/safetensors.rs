//! Weights as a safetensors file (<https://github.com/huggingface/safetensors#format>).

use burn::{
    store::{FloatCastAdapter, ModuleSnapshot, SafetensorsStore},
    tensor::DType,
};

use super::{CARD, CHECKSUM, LoadError, SaveError, Stated};
use crate::network::PoseNetwork;

/// A header longer than this is not believed.
const MAX_HEADER: usize = 1 << 20;

/// Every number rounded to half precision (IEEE 754 binary16), with this card.
pub(super) fn write(network: &PoseNetwork, card: &str) -> Result<Vec<u8>, SaveError> {
    let mut store =
        SafetensorsStore::from_bytes(None).clear_metadata().with_to_adapter(FloatCastAdapter::to(DType::F16));
    network.save_into(&mut store).map_err(SaveError::of)?;
    let plain = store.get_bytes().map_err(SaveError::of)?;
    let (mut header, tensors) = split(&plain).map_err(SaveError::of)?;
    header.insert(
        "__metadata__".into(),
        serde_json::json!({ CARD: card, CHECKSUM: format!("{:08x}", crc32fast::hash(tensors)) }),
    );
    let mut header = serde_json::to_vec(&header).map_err(SaveError::of)?;
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut out = (header.len() as u64).to_le_bytes().to_vec();
    out.extend_from_slice(&header);
    out.extend_from_slice(tensors);
    Ok(out)
}

/// What the file says of itself.
pub(super) fn stated(bytes: &[u8]) -> Result<Stated, LoadError> {
    let (header, tensors) = split(bytes)?;
    let text = |key: &str| header.get("__metadata__")?.get(key)?.as_str().map(str::to_owned);
    let (Some(card), Some(stated)) = (text(CARD), text(CHECKSUM)) else { return Err(LoadError::NoCard) };
    Ok(Stated { card, stated, found: crc32fast::hash(tensors) })
}

/// What reads its tensors, of any float precision. Partially, so that all that is wrong is named at once.
pub(super) fn store(bytes: &[u8]) -> SafetensorsStore {
    SafetensorsStore::from_bytes(Some(bytes.to_vec()))
        .allow_partial(true)
        .validate(false)
        .with_from_adapter(FloatCastAdapter::to(DType::F32))
}

type Header = serde_json::Map<String, serde_json::Value>;

/// Header and tensor bytes: 8 bytes little-endian header length, JSON header, tensors.
fn split(bytes: &[u8]) -> Result<(Header, &[u8]), LoadError> {
    let malformed = |why: &str| LoadError::Malformed(why.to_owned());
    let (length, rest) =
        bytes.split_first_chunk::<8>().ok_or_else(|| malformed("shorter than its header"))?;
    let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| malformed("header too long"))?;
    if length > MAX_HEADER {
        return Err(malformed("header too long"));
    }
    let (header, tensors) =
        rest.split_at_checked(length).ok_or_else(|| malformed("cut off within the header"))?;
    let header = serde_json::from_slice(header).map_err(|e| malformed(&e.to_string()))?;
    Ok((header, tensors))
}
