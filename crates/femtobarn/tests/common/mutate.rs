//! Changes of files at random.

/// Replaces, removes or repeats bytes of a file of equations.
pub fn mutate(text: &[u8], random: &mut fb_core::Philox) -> Vec<u8> {
    const BYTES: &[u8] = b"0123456789.-+*/^()[]\"=,e\ntTphidyx ";
    let mut bytes = text.to_vec();
    for _ in 0..=random.below(3) {
        let at = random.below(bytes.len());
        let byte = BYTES[random.below(BYTES.len())];
        match random.below(3) {
            0 => bytes[at] = byte,
            1 => bytes.insert(at, byte),
            _ => drop(bytes.remove(at)),
        }
    }
    bytes
}
