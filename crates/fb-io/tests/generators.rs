//! Files of event generators, and TrackML's.
#![allow(clippy::unwrap_used, reason = "a test may fall over")]

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use fb_core::{Events, Unit};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

fn shown(events: &Events, name: &str) -> String {
    format!("{:?}", events.column(name).unwrap().data)
}

fn packed(name: &str, folder: &Path) -> PathBuf {
    let path = folder.join(format!("{name}.gz"));
    let mut gz = flate2::write::GzEncoder::new(std::fs::File::create(&path).unwrap(), flate2::Compression::fast());
    gz.write_all(&std::fs::read(fixture(name)).unwrap()).unwrap();
    gz.finish().unwrap();
    path
}

#[test]
fn lhe_has_events_and_processes() {
    let folder = tempfile::tempdir().unwrap();
    for path in [fixture("small.lhe"), packed("small.lhe", folder.path())] {
        let events = fb_io::read(&path).unwrap();
        assert_eq!(events.len(), 2);
        assert_eq!(shown(&events, "nup"), "I64([4, 0])");
        assert_eq!(shown(&events, "idprup"), "I64([1, 2])");
        assert_eq!(shown(&events, "xwgtup"), "F64([500.0, -1.0])");
        assert_eq!(shown(&events, "scalup"), "F64([91.18, 2.0])");
        assert_eq!(shown(&events, "pdgid"), "I64([2, -2, 11, -11])");
        assert_eq!(shown(&events, "mother2"), "I64([0, 0, 2, 2])");
        assert_eq!(shown(&events, "px"), "F64([0.0, 0.0, 30.25, -30.25])");
        assert_eq!(shown(&events, "spin"), "F64([9.0, 9.0, -1.0, 1.0])");
        let px = events.column("px").unwrap();
        assert_eq!((px.unit, px.offsets.as_deref().unwrap().as_slice()), (Unit::Gev, &[0, 4, 4][..]));
        assert_eq!(shown(&events, "weight_1001"), "F64([500.0, NaN])");
        assert_eq!(shown(&events, "weight_1002"), "F64([-425.0, 7.0])");
        let processes = fb_io::read(format!("{}:init", path.display())).unwrap();
        assert_eq!(shown(&processes, "xsecup"), "F64([504.0, 2.1])");
        assert_eq!(shown(&processes, "ebmup2"), "F64([6500.0, 6500.0])");
        assert_eq!(shown(&processes, "lprup"), "I64([1, 2])");
    }
    let compact = fb_io::read(fixture("compact.lhe")).unwrap();
    assert_eq!(
        (shown(&compact, "weight_central"), shown(&compact, "weight_up")),
        ("F64([1.0])".into(), "F64([1.5])".into())
    );
}

#[test]
fn lhe_of_generators() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/public/scikit-hep");
    for (name, particles, processes) in
        [("pylhe-testfile-powheg-box-v2-Z.lhe", 6.0, 1), ("pylhe-testfile-pythia-6.413-ttbar.lhe", 12.0, 2)]
    {
        let path = folder.join(name);
        if !path.exists() {
            eprintln!("skipped: {} is not there", path.display());
            continue;
        }
        let events = fb_io::read(&path).unwrap();
        let nup = events.column("nup").unwrap();
        assert_eq!((events.len(), nup.data.number(0)), (100, particles), "{name}");
        let offsets = events.column("px").unwrap().offsets.clone().unwrap();
        assert!((0..100).all(|i| (offsets[i + 1] - offsets[i]) as f64 == nup.data.number(i)), "{name}");
        assert_eq!(fb_io::read(format!("{}:init", path.display())).unwrap().len(), processes, "{name}");
    }
}

#[test]
fn any_range_of_events_is_a_part_of_the_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("many.lhe");
    let mut text = "<LesHouchesEvents version=\"1.0\">\n<init>\n 1 1 1 1 0 0 0 0 3 1\n 1 1 1 1\n</init>\n".to_owned();
    for i in 0..40_000 {
        write!(text, "<event>\n 1 {i} 1 1 1 1\n 22 1 0 0 0 0 {i}. 0 0 1 0 0 9\n</event>\n").unwrap();
    }
    text += "</LesHouchesEvents>\n";
    std::fs::write(&path, text).unwrap();
    let table = fb_io::open(&path).unwrap();
    let clusters = table.clusters();
    assert!(clusters.len() > 2 && clusters[0].start == 0 && clusters[clusters.len() - 1].end == 40_000);
    let at = |name: &str| table.branches().iter().position(|b| b.name == name).unwrap();
    let (id, px) = (at("idprup"), at("px"));
    for range in [0..3, 16_383..16_386, 16_386..16_400, 5..6, 39_999..40_000] {
        let read = table.read(&[id, px], range.clone()).unwrap();
        let ids: Vec<String> = range.clone().map(|i| i.to_string()).collect();
        let squeezed = |i: usize| format!("{:?}", read[i]).replace([' ', '\n'], "");
        assert_eq!(squeezed(0), format!("PrimitiveArray<Int64>[{},]", ids.join(",")));
        assert!(squeezed(1).contains(&format!("[{}.0,]", range.start)), "{}", squeezed(1));
    }
}

#[test]
fn hepmc_has_events_with_places() {
    let folder = tempfile::tempdir().unwrap();
    for path in [fixture("small.hepmc3"), packed("small.hepmc3", folder.path())] {
        let events = fb_io::read(&path).unwrap();
        assert_eq!(shown(&events, "event_number"), "I64([7, 8, 9])");
        assert_eq!(shown(&events, "weight_nominal"), "F64([1.0, 2.0, 3.0])");
        assert_eq!(shown(&events, "weight_muR up"), "F64([-0.5, 2.5, 3.5])");
        assert_eq!(shown(&events, "pdgid"), "I64([2212, 2212, 23, 13, -13, 22])");
        assert_eq!(shown(&events, "status"), "I64([4, 4, 2, 1, 1, 1])");
        assert_eq!(shown(&events, "vertex"), "I64([0, 0, -1, 3, 3, 0])");
        assert_eq!(shown(&events, "mass"), "F64([938.27, 938.27, 91000.0, 105.66, 105.66, 0.0])");
        // Centimetres become millimetres; without a vertex it is the place of the event.
        assert_eq!(shown(&events, "x"), "F64([10.0, 10.0, 15.0, 10.0, 10.0, 0.0])");
        assert_eq!(shown(&events, "t"), "F64([20.0, 20.0, 30.0, 20.0, 20.0, 0.0])");
        let px = events.column("px").unwrap();
        assert_eq!((px.unit, px.offsets.as_deref().unwrap().as_slice()), (Unit::Mev, &[0, 5, 5, 6][..]));
    }
}

#[test]
fn damage_names_the_line() {
    let folder = tempfile::tempdir().unwrap();
    let message = |name: &str, from: &str, to: &str| {
        let text = std::fs::read_to_string(fixture(name)).unwrap();
        assert!(text.contains(from));
        let path = folder.path().join(name);
        std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
        fb_io::read(&path).unwrap_err().to_string()
    };
    let found = message("small.lhe", " 11 1 1 2", " eleven 1 1 2");
    assert!(found.contains("(line 19): found `eleven` in place 1, expected an integer"), "{found}");
    let found = message("small.lhe", " 0 2 -1.0 2.0", " 9 2 -1.0 2.0");
    assert!(found.contains("(line 29): found `<rwgt>` in place 1"), "{found}");
    assert!(message("small.lhe", "<init>", "<int>").contains("no <init>"));
    assert!(message("small.hepmc3", "P 4 3 13", "P 4 3 x").contains("(line 16): cannot read the PDG identity"));
    assert!(message("small.hepmc3", "Asciiv3-START", "IO_GenEvent-START").contains("expected `Asciiv3`"));
    assert!(message("small.hepmc3", "E 8 0 0\nU MEV", "E 8 0 0\nU GEV").contains("momenta in GeV, expected MeV"));
}

#[test]
fn an_event_of_trackml_is_four_tables() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("event000001000-hits.csv"), "hit_id,x,y,z\n1,-64.5,-7.25,-1502.5\n2,1,2,3\n").unwrap();
    std::fs::write(at("event000001000-cells.csv"), "hit_id,ch0,ch1,value\n1,209,617,0.25\n").unwrap();
    std::fs::write(at("event000001000-particles.csv"), "particle_id,px\n4503668346847232,-0.5\n").unwrap();
    let names = |name: &str| -> Vec<String> {
        fb_io::tables(at(name)).unwrap().iter().map(|table| table.name().to_owned()).collect()
    };
    for name in ["event000001000", "event000001000-hits.csv", "event000001000-cells.csv"] {
        assert_eq!(names(name), ["hits", "cells", "particles"], "{name}");
    }
    let read = |spec: &str| fb_io::read(at(spec)).unwrap();
    assert_eq!(shown(&read("event000001000-hits.csv"), "x"), "F64([-64.5, 1.0])");
    assert_eq!(shown(&read("event000001000:particles"), "particle_id"), "I64([4503668346847232])");
    assert!(fb_io::read(at("event000001000")).unwrap_err().to_string().contains("hits, cells, particles"));
    let error = fb_io::read(at("event000001000-truth.csv")).unwrap_err();
    assert!(error.to_string().contains("cannot open"), "{error}");
    assert_eq!(fb_io::expand(&at("event*-hits.csv").display().to_string()).unwrap().len(), 1);
    assert!(fb_io::fingerprint(at("event000001000")).unwrap().0 > 100);
}
