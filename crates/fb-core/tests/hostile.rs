//! Damaged expressions and models: whatever the text or the bytes are, the answer is a value or an error, soon.
#![allow(clippy::unwrap_used, reason = "a test may fall over")]

use std::time::{Duration, Instant};

use fb_core::expression::Expression;
use fb_core::{Artifact, Error, Philox, Tensor};

const MUTANTS: u64 = 20_000;
/// For one mutant; a whole one takes microseconds.
const SLOWEST: Duration = Duration::from_secs(2);

/// A text with one to four random damages: characters, a piece of another text, a piece twice or left out.
fn damaged(random: &mut Philox, texts: &[&[u8]], alphabet: &[u8]) -> Vec<u8> {
    let mut bytes = texts[random.below(texts.len())].to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() + 1);
        let end = (at + random.below(24)).min(bytes.len());
        match random.below(6) {
            0 => bytes.truncate(at),
            1 => {
                let piece = bytes[at..end].repeat(1 + random.below(40));
                bytes.splice(end..end, piece);
            }
            2 => drop(bytes.drain(at..end)),
            3 => {
                let other = texts[random.below(texts.len())];
                let from = random.below(other.len());
                let piece = &other[from..(from + end - at).min(other.len())];
                bytes.splice(at..end, piece.iter().copied());
            }
            4 => bytes.insert(at, alphabet[random.below(alphabet.len())]),
            _ if at < bytes.len() => bytes[at] = random.next_u32() as u8,
            _ => {}
        }
    }
    bytes
}

/// How deep the tree is, from what it shows: every operation but a name and a number opens a bracket.
fn depth(shown: &str) -> usize {
    let (mut depth, mut deepest) = (0usize, 0);
    for c in shown.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

#[test]
fn expressions() {
    let texts = [
        "jet_pt > 550 && abs(jet_eta) < 2",
        "sum(part_pt * (part_eta - 2)) / count(part_pt > 1e-3) - -x^2^y",
        "if(a != 1 || !b, sqrt(hypot(x, 3.5)), max(atan2(y, x)[3], pi))",
        "deta(jet) + dphi(jet) * dr(jet) <= Muon.pt[0] - any(true) + 1.5E+30",
        "((((a))))[1][2] == .5",
    ];
    let texts = texts.map(str::as_bytes);
    let alphabet = b"()[]!-+*/^<>=&|,. 0159eEabx_\"\\\xc2\xb5\xff\n";
    let (mut whole, mut refused) = (0, 0);
    for i in 0..MUTANTS {
        let bytes = damaged(&mut Philox::new(3, i, 0), &texts, alphabet);
        let text = String::from_utf8_lossy(&bytes);
        let start = Instant::now();
        match Expression::parse(&text) {
            Ok(expression) => {
                whole += 1;
                let shown = expression.to_string();
                // A bracket and the operand it stands for are two levels; what is deeper may show, but cannot be read again.
                if depth(&shown) < 45 {
                    assert_eq!(Expression::parse(&shown).unwrap(), expression, "`{text}`");
                }
            }
            Err(Error::Expression { position, reason, .. }) => {
                refused += 1;
                assert!((1..=text.chars().count() + 1).contains(&position), "`{text}`: {position}");
                assert!(reason.len() < 12_000, "`{text}`");
            }
            Err(other) => panic!("`{text}`: {other}"),
        }
        assert!(start.elapsed() < SLOWEST, "`{text}`");
    }
    assert!(whole > 1000 && refused > 1000, "{whole} read, {refused} refused");
}

/// The deepest trees that can be read fit into a stack that is a fraction of any thread's.
#[test]
fn deep_expressions() {
    let walk = || {
        let deep = [
            "x".to_owned() + &"+x".repeat(4900),
            "x".to_owned() + &"[0]".repeat(3000),
            "2^".repeat(4000) + "2",
            "-".repeat(9999),
            "!".repeat(9999),
            "(".repeat(9999),
            "abs(".repeat(2400),
            "if(1,if(2,".repeat(900),
        ];
        for text in deep {
            let message = Expression::parse(&text).unwrap_err().to_string();
            assert!(message.contains("more than"), "{message}");
        }
        for text in ["x".to_owned() + &"+x*2".repeat(249), "x".to_owned() + &"[0]".repeat(499), "-".repeat(90) + "x"] {
            let expression = Expression::parse(&text).unwrap();
            assert!(
                expression.to_string().len() > 90 && expression.names() == ["x"] && expression == expression.clone()
            );
        }
    };
    std::thread::Builder::new().stack_size(512 << 10).spawn(walk).unwrap().join().unwrap();
}

#[test]
fn numbers_that_are_too_large_are_refused() {
    let message = Expression::parse("x < 1e999").unwrap_err().to_string();
    assert!(message.contains("expected a number of at most"), "{message}");
}

fn artifact() -> Artifact {
    let tensor = |name: &str, shape: &[usize]| {
        let len = shape.iter().product();
        Tensor { name: name.into(), shape: shape.to_vec(), values: (0..len).map(|i| i as f32 / 3.0).collect() }
    };
    let header = serde_json::json!({"method": "pfn", "config": {"max": 3, "phi": [1, 2]}, "graph": [[1.5, null], "µ"]});
    Artifact {
        header,
        tensors: vec![tensor("1.weight", &[3, 5]), tensor("1.bias", &[5]), tensor("none", &[0])],
        doubles: Vec::new(),
    }
}

#[test]
fn artifacts() {
    let whole = artifact().to_bytes().unwrap();
    let texts: [&[u8]; 2] = [&whole, &whole[..200]];
    let alphabet = b"\x00\x01\x7f\x80\xff{}[]\",:0189\\u ";
    let (mut same, mut refused) = (0, 0);
    for i in 0..MUTANTS {
        let mut random = Philox::new(4, i, 0);
        let bytes = if i % 2 == 0 {
            damaged(&mut random, &texts, alphabet)
        } else {
            // A byte changed and nothing moved: the length of the header still holds.
            let mut bytes = whole.clone();
            for _ in 0..=random.below(2) {
                let at = random.below(bytes.len());
                bytes[at] = alphabet[random.below(alphabet.len())];
            }
            bytes
        };
        let start = Instant::now();
        match Artifact::from_bytes(&bytes) {
            // A change may only pass where it leaves the meaning as it was, as in white space.
            Ok(read) => {
                assert_eq!(read, artifact(), "mutant {i}");
                same += 1;
            }
            Err(Error::Artifact { .. }) => refused += 1,
            Err(other) => panic!("mutant {i}: {other}"),
        }
        assert!(start.elapsed() < SLOWEST, "mutant {i}");
    }
    assert!(same > 0 && refused > 15_000, "{same} unchanged, {refused} refused");
}

#[test]
fn an_artifact_has_one_sequence_of_bytes() {
    let bytes = artifact().to_bytes().unwrap();
    for _ in 0..20 {
        assert!(artifact().to_bytes().unwrap() == bytes);
    }
    assert_eq!(Artifact::from_bytes(&bytes).unwrap(), artifact());
}

#[test]
fn an_artifact_that_contradicts_itself_is_not_written() {
    let mut bad = artifact();
    bad.tensors[0].shape = vec![4, 5];
    assert!(matches!(bad.to_bytes(), Err(Error::Artifact { .. })));
    let mut twice = artifact();
    twice.tensors[1].name = "1.weight".to_owned();
    assert!(twice.to_bytes().unwrap_err().to_string().contains("two tensors have the name `1.weight`"));
}

#[test]
fn headers_that_claim_much_are_refused() {
    for length in [0, 7, u64::MAX, 1 << 40, 1 << 26] {
        let mut bytes = length.to_le_bytes().to_vec();
        bytes.extend(b"{\"__metadata__\":{}}");
        assert!(matches!(Artifact::from_bytes(&bytes), Err(Error::Artifact { .. })), "{length}");
    }
    let nested = format!("{{\"__metadata__\":{{\"femtobarn\":\"{}\"}}}}", "[".repeat(100_000));
    let mut bytes = (nested.len() as u64).to_le_bytes().to_vec();
    bytes.extend(nested.as_bytes());
    assert!(matches!(Artifact::from_bytes(&bytes), Err(Error::Artifact { .. })));
}
