//! A fitted model as bytes: tensors and a header in the safetensors format, with a digest over all of it.

use safetensors::tensor::{Dtype, SafeTensors};
use serde_json::{Map, Value as Json, json};
use sha2::{Digest, Sha256};

use crate::{Error, Result};

/// A named block of 32-bit floats.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Its name, for example `block1.linear2.weight`.
    pub name: String,
    /// Its shape; the last dimension is contiguous.
    pub shape: Vec<usize>,
    /// Row-major entries.
    pub values: Vec<f32>,
}

/// A stored model. The header is JSON: the method's name, its options, what it sees, its network.
#[derive(Debug, Clone, PartialEq)]
pub struct Artifact {
    /// Everything but the numbers.
    pub header: Json,
    /// The numbers.
    pub tensors: Vec<Tensor>,
}

const FORMAT: &str = "femtobarn-1";
/// The key of everything but tensors in a safetensors header.
const METADATA: &str = "__metadata__";

fn broken(reason: impl std::fmt::Display) -> Error {
    Error::Artifact { reason: reason.to_string() }
}

impl Artifact {
    /// The name of the method that made it.
    pub fn method(&self) -> Result<&str> {
        self.header["method"].as_str().ok_or_else(|| broken("the header names no method"))
    }

    /// The tensor of this name.
    pub fn tensor(&self, name: &str) -> Result<&Tensor> {
        self.tensors.iter().find(|t| t.name == name).ok_or_else(|| broken(format!("no tensor `{name}`")))
    }

    /// SHA-256 over header and tensors, in hexadecimal.
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(self.header.to_string());
        for tensor in &self.tensors {
            hash.update(&tensor.name);
            tensor.shape.iter().for_each(|&n| hash.update((n as u64).to_le_bytes()));
            tensor.values.iter().for_each(|v| hash.update(v.to_le_bytes()));
        }
        hex(&hash.finalize())
    }

    /// As bytes of a safetensors file: the same for the same artifact.
    ///
    /// # Errors
    /// [`Error::Artifact`] if a tensor's shape does not fit its entries, or two have the same name.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        // Written here, as the library keeps the metadata in an order that changes from call to call.
        let order: Vec<&str> = self.tensors.iter().map(|t| t.name.as_str()).collect();
        let mut head = Map::new();
        head.insert(
            METADATA.to_owned(),
            json!({
                "format": FORMAT,
                "header": self.header.to_string(),
                "order": json!(order).to_string(),
                "digest": self.digest(),
            }),
        );
        let mut end = 0;
        for Tensor { name, shape, values } in &self.tensors {
            if shape.iter().product::<usize>() != values.len() {
                return Err(broken(format!("tensor `{name}` has {} entries for the shape {shape:?}", values.len())));
            }
            let start = end;
            end += 4 * values.len();
            let entry = json!({"dtype": "F32", "shape": shape, "data_offsets": [start, end]});
            if head.insert(name.clone(), entry).is_some() {
                return Err(broken(format!("two tensors have the name `{name}`")));
            }
        }
        let mut head = Json::Object(head).to_string();
        // The numbers begin at a multiple of eight bytes.
        head.extend(std::iter::repeat_n(' ', head.len().next_multiple_of(8) - head.len()));
        let mut bytes = (head.len() as u64).to_le_bytes().to_vec();
        bytes.reserve(head.len() + end);
        bytes.extend(head.as_bytes());
        self.tensors.iter().flat_map(|t| &t.values).for_each(|v| bytes.extend(v.to_le_bytes()));
        Ok(bytes)
    }

    /// From the bytes of a safetensors file.
    ///
    /// # Errors
    /// [`Error::Artifact`] if they are not a whole femtobarn model: wrong format, a digest that does not match.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let (_, head) = SafeTensors::read_metadata(bytes).map_err(broken)?;
        let metadata = head.metadata().as_ref().ok_or_else(|| broken("no metadata"))?;
        let entry = |key: &str| metadata.get(key).ok_or_else(|| broken(format!("no `{key}` in the metadata")));
        if entry("format")? != FORMAT {
            return Err(broken(format!("format `{}`, expected `{FORMAT}`", entry("format")?)));
        }
        let header = serde_json::from_str(entry("header")?).map_err(broken)?;
        let order: Vec<String> = serde_json::from_str(entry("order")?).map_err(broken)?;
        let file = SafeTensors::deserialize(bytes).map_err(broken)?;
        if order.len() != file.len() {
            return Err(broken(format!("{} tensors, expected {}", file.len(), order.len())));
        }
        let mut tensors = Vec::with_capacity(order.len());
        for name in order {
            let view = file.tensor(&name).map_err(broken)?;
            if view.dtype() != Dtype::F32 {
                return Err(broken(format!("tensor `{name}` is {:?}, expected F32", view.dtype())));
            }
            let values = view.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
            tensors.push(Tensor { name, shape: view.shape().to_vec(), values });
        }
        let artifact = Self { header, tensors };
        if *entry("digest")? != artifact.digest() {
            return Err(broken("the digest does not match: the file has been altered"));
        }
        Ok(artifact)
    }
}

/// Bytes in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn artifact() -> Artifact {
        let tensor = Tensor { name: "b".into(), shape: vec![2, 1], values: vec![1.0, -0.0] };
        let other = Tensor { name: "a".into(), shape: vec![], values: vec![f32::MIN_POSITIVE] };
        Artifact { header: serde_json::json!({"method": "pfn"}), tensors: vec![tensor, other] }
    }

    #[test]
    fn bytes_round_trip() {
        let bytes = artifact().to_bytes().unwrap();
        assert_eq!(Artifact::from_bytes(&bytes).unwrap(), artifact());
    }

    #[test]
    fn any_flipped_byte_is_noticed() {
        let bytes = artifact().to_bytes().unwrap();
        for i in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[i] ^= 1;
            // A flip may only be harmless where it leaves the meaning as it was, as in white space.
            if let Ok(read) = Artifact::from_bytes(&bad) {
                assert_eq!(read, artifact(), "byte {i}");
            }
        }
    }
}
