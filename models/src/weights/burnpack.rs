//! Weights as a burnpack file, burn's own (<https://docs.rs/burn-pack>).

use burn::{
    store::{BurnpackStore, FloatCastAdapter, ModuleSnapshot},
    tensor::{Bytes, DType},
};
use burn_pack::{MAGIC_NUMBER, Reader};

use super::{CARD, CHECKSUM, LoadError, SaveError, Stated};
use crate::network::PoseNetwork;

/// Whether the bytes begin as such a file does.
pub(super) fn is(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC_NUMBER.to_le_bytes())
}

/// Every number rounded to half precision (IEEE 754 binary16), with this card.
pub(super) fn write(network: &PoseNetwork, card: &str) -> Result<Vec<u8>, SaveError> {
    let written = |checksum: String| {
        let mut store = BurnpackStore::from_bytes(None)
            .clear_metadata()
            .metadata(CARD, card)
            .metadata(CHECKSUM, checksum)
            .with_to_adapter(FloatCastAdapter::to(DType::F16));
        network.save_into(&mut store).map_err(SaveError::of)?;
        store.get_bytes().map_err(SaveError::of)
    };
    // Which bytes it makes of the tensors is the format's affair.
    let reader = Reader::from_bytes(written(String::new())?).map_err(SaveError::of)?;
    let checksum = checksum(&reader).map_err(SaveError::of)?;
    Ok(written(format!("{checksum:08x}"))?.to_vec())
}

/// What the file says of itself.
pub(super) fn stated(bytes: &[u8]) -> Result<Stated, LoadError> {
    let malformed = |e: burn_pack::Error| LoadError::Malformed(e.to_string());
    let reader = Reader::from_bytes(Bytes::from_bytes_vec(bytes.to_vec())).map_err(malformed)?;
    let text = |key: &str| reader.metadata().get(key).cloned();
    let (Some(card), Some(stated)) = (text(CARD), text(CHECKSUM)) else { return Err(LoadError::NoCard) };
    Ok(Stated { card, stated, found: checksum(&reader).map_err(malformed)? })
}

/// What reads its tensors, of any float precision. Partially, so that all that is wrong is named at once.
pub(super) fn store(bytes: &[u8]) -> BurnpackStore {
    BurnpackStore::from_bytes(Some(Bytes::from_bytes_vec(bytes.to_vec())))
        .allow_partial(true)
        .validate(false)
        .with_from_adapter(FloatCastAdapter::to(DType::F32))
}

/// Of all tensors' bytes by the order of their names.
fn checksum(reader: &Reader) -> Result<u32, burn_pack::Error> {
    let mut hasher = crc32fast::Hasher::new();
    for name in reader.tensor_names() {
        hasher.update(&reader.tensor_data(name)?);
    }
    Ok(hasher.finalize())
}
