//! A fitted model as bytes: tensors and a header in the safetensors format, with a digest over all of it.

use std::collections::HashMap;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

use crate::{Error, Result};

/// A named block of numbers: 32-bit floats unless said otherwise.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor<T = f32> {
    /// Its name, for example `block1.linear2.weight`.
    pub name: String,
    /// Its shape; the last dimension is contiguous.
    pub shape: Vec<usize>,
    /// Row-major entries.
    pub values: Vec<T>,
}

/// A stored model. The header is JSON: the method's name, its options, what it sees, its network.
#[derive(Debug, Clone, PartialEq)]
pub struct Artifact {
    /// Everything but the numbers.
    pub header: Json,
    /// The numbers of networks.
    pub tensors: Vec<Tensor>,
    /// Numbers whose last bit counts: cuts of trees.
    pub doubles: Vec<Tensor<f64>>,
}

const FORMAT: &str = "femtobarn-1";
const ENTRY: &str = "femtobarn";

fn broken(reason: impl std::fmt::Display) -> Error {
    Error::Artifact { reason: reason.to_string() }
}

/// The blocks whose names begin so, without it.
fn below<T: Clone>(blocks: &[Tensor<T>], prefix: &str) -> Vec<Tensor<T>> {
    let inner = |t: &Tensor<T>| {
        let name = t.name.strip_prefix(prefix)?.to_owned();
        Some(Tensor { name, shape: t.shape.clone(), values: t.values.clone() })
    };
    blocks.iter().filter_map(inner).collect()
}

/// A block as bytes.
fn bytes<T: Copy, const N: usize>(values: &[T], to: fn(T) -> [u8; N]) -> Vec<u8> {
    values.iter().flat_map(|&v| to(v)).collect()
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

    /// The entries of the block of 64-bit floats of this name.
    pub fn double(&self, name: &str) -> Result<&[f64]> {
        let found = self.doubles.iter().find(|t| t.name == name);
        found.map(|t| t.values.as_slice()).ok_or_else(|| broken(format!("no tensor `{name}`")))
    }

    /// Takes in the model of a part, under this name.
    pub fn add_part(&mut self, name: &str, part: Self) {
        self.header["parts"][name] = part.header;
        let whole = |inner: &str| format!("{name}/{inner}");
        self.tensors.extend(part.tensors.into_iter().map(|t| Tensor { name: whole(&t.name), ..t }));
        self.doubles.extend(part.doubles.into_iter().map(|t| Tensor { name: whole(&t.name), ..t }));
    }

    /// The model of a part.
    ///
    /// # Errors
    /// [`Error::Artifact`] if there is no part of this name.
    pub fn part(&self, name: &str) -> Result<Self> {
        let header = self.header["parts"].get(name).ok_or_else(|| broken(format!("no part `{name}`")))?.clone();
        let prefix = format!("{name}/");
        Ok(Self { header, tensors: below(&self.tensors, &prefix), doubles: below(&self.doubles, &prefix) })
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
        for tensor in &self.doubles {
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
        let singles = self.tensors.iter().map(|t| (&t.name, &t.shape, Dtype::F32, bytes(&t.values, f32::to_le_bytes)));
        let doubles = self.doubles.iter().map(|t| (&t.name, &t.shape, Dtype::F64, bytes(&t.values, f64::to_le_bytes)));
        let blocks: Vec<_> = singles.chain(doubles).collect();
        let views = blocks.iter().map(|(name, shape, kind, block)| {
            TensorView::new(*kind, (*shape).clone(), block).map(|view| (name.as_str(), view))
        });
        let views: Vec<_> = views.collect::<std::result::Result<_, _>>().map_err(broken)?;
        let order: Vec<&str> = blocks.iter().map(|(name, ..)| name.as_str()).collect();
        if let Some(i) = (0..order.len()).find(|&i| order[..i].contains(&order[i])) {
            return Err(broken(format!("two tensors have the name `{}`", order[i])));
        }
        let whole = json!({"format": FORMAT, "header": self.header, "order": order, "digest": self.digest()});
        // One entry alone: several would be written in an order that changes from run to run.
        let metadata = HashMap::from([(ENTRY.to_owned(), whole.to_string())]);
        safetensors::serialize(views, Some(metadata)).map_err(broken)
    }

    /// From the bytes of a safetensors file.
    ///
    /// # Errors
    /// [`Error::Artifact`] if they are not a whole femtobarn model: wrong format, a digest that does not match.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let (_, head) = SafeTensors::read_metadata(bytes).map_err(broken)?;
        let metadata = head.metadata().as_ref().ok_or_else(|| broken("no metadata"))?;
        let whole = metadata.get(ENTRY).ok_or_else(|| broken(format!("no `{ENTRY}` in the metadata")))?;
        let mut whole: Json = serde_json::from_str(whole).map_err(broken)?;
        if whole["format"] != FORMAT {
            return Err(broken(format!("format {}, expected \"{FORMAT}\"", whole["format"])));
        }
        let header = whole["header"].take();
        let order: Vec<String> = serde_json::from_value(whole["order"].take()).map_err(broken)?;
        let file = SafeTensors::deserialize(bytes).map_err(broken)?;
        if order.len() != file.len() {
            return Err(broken(format!("{} tensors, expected {}", file.len(), order.len())));
        }
        let (mut tensors, mut doubles) = (Vec::new(), Vec::new());
        for name in order {
            let view = file.tensor(&name).map_err(broken)?;
            let (shape, data) = (view.shape().to_vec(), view.data());
            match view.dtype() {
                Dtype::F32 => {
                    let values = data.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
                    tensors.push(Tensor { name, shape, values });
                }
                Dtype::F64 => {
                    let values = data.as_chunks::<8>().0.iter().map(|b| f64::from_le_bytes(*b)).collect();
                    doubles.push(Tensor { name, shape, values });
                }
                other => return Err(broken(format!("tensor `{name}` is {other:?}, expected F32 or F64"))),
            }
        }
        let artifact = Self { header, tensors, doubles };
        if whole["digest"] != artifact.digest() {
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
        let double = Tensor { name: "c".into(), shape: vec![1], values: vec![0.1] };
        Artifact { header: serde_json::json!({"method": "pfn"}), tensors: vec![tensor, other], doubles: vec![double] }
    }

    #[test]
    fn bytes_round_trip() {
        let bytes = artifact().to_bytes().unwrap();
        assert_eq!(Artifact::from_bytes(&bytes).unwrap(), artifact());
    }

    #[test]
    fn parts_come_back() {
        let mut whole = Artifact { header: serde_json::json!({"method": "two"}), ..artifact() };
        whole.add_part("first", artifact());
        let read = Artifact::from_bytes(&whole.to_bytes().unwrap()).unwrap();
        assert_eq!(read.part("first").unwrap(), artifact());
        assert!(read.part("second").is_err());
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
