//! The catalogue: one file per method, and the list of them.

pub mod bubble;
pub mod forest;
#[cfg(test)]
mod invariance;
pub mod neural;
pub mod solve;
mod stages;
pub mod tables;
pub mod taggers;
pub mod trees;
pub mod weights;

use fb_core::{AnyMethod, Error, Result, closest, entry};
use forest::Trees;
use neural::Neural;

/// Every method, in alphabetic order.
pub static METHODS: &[&dyn AnyMethod] = &[
    &entry::<Trees<trees::adaboost::AdaBoost>>(),
    &entry::<taggers::adaptive_vertex::AdaptiveVertex>(),
    &entry::<Trees<trees::bdt::Bdt>>(),
    &entry::<trees::category_tagger::CategoryTagger>(),
    &entry::<taggers::csvv2::CsvV2>(),
    &entry::<tables::ddt::Ddt>(),
    &entry::<Neural<taggers::deepcsv::DeepCsv>>(),
    &entry::<Neural<taggers::deepjet::DeepJet>>(),
    &entry::<Neural<taggers::deeptau::DeepTau>>(),
    &entry::<Neural<taggers::efn::Efn>>(),
    &entry::<taggers::efp_linear::EfpLinear>(),
    &entry::<taggers::goat::Goat>(),
    &entry::<Neural<taggers::hbb_interaction_network::HbbInteractionNetwork>>(),
    &entry::<Neural<taggers::interaction_network::InteractionNetwork>>(),
    &entry::<Neural<taggers::jedi_net::JediNet>>(),
    &entry::<Neural<taggers::jet_image_cnn::JetImageCnn>>(),
    &entry::<Neural<taggers::jet_image_cnn::JetImageCnnSmall>>(),
    &entry::<Neural<taggers::lbn::Lbn>>(),
    &entry::<Neural<taggers::logistic::Logistic>>(),
    &entry::<Neural<taggers::lola::Lola>>(),
    &entry::<Neural<taggers::lorentznet::LorentzNet>>(),
    &entry::<Neural<taggers::lstm_tagger::LstmTagger>>(),
    &entry::<Neural<taggers::lundnet::LundNet>>(),
    &entry::<Neural<tables::mlp::Mlp>>(),
    &entry::<Neural<taggers::nsubjettiness_mlp::NsubjettinessMlp>>(),
    &entry::<Trees<trees::oblivious_bdt::ObliviousBdt>>(),
    &entry::<Neural<taggers::p_cnn::PCnn>>(),
    &entry::<Neural<taggers::part::Part>>(),
    &entry::<Neural<taggers::part_small::PartSmall>>(),
    &entry::<Neural<taggers::particlenet::ParticleNet>>(),
    &entry::<Neural<taggers::particlenet_lite::ParticleNetLite>>(),
    &entry::<Neural<taggers::particlenext::ParticleNext>>(),
    &entry::<Neural<taggers::pelican::Pelican>>(),
    &entry::<Neural<taggers::pfn::Pfn>>(),
    &entry::<Trees<trees::random_forest::RandomForest>>(),
    &entry::<Neural<taggers::resnext::Resnext>>(),
    &entry::<Neural<taggers::set2graph::Set2Graph>>(),
    &entry::<taggers::single_vertex::SingleVertex>(),
    &entry::<Neural<taggers::topodnn::TopoDnn>>(),
    &entry::<Neural<taggers::treenin::TreeNin>>(),
    &entry::<Trees<trees::uboost::UBoost>>(),
    &entry::<Trees<trees::ugrad_bdt::UgradBdt>>(),
];

/// The method of this name.
///
/// # Errors
/// [`Error::UnknownName`] with the nearest name.
pub fn method(name: &str) -> Result<&'static dyn AnyMethod> {
    METHODS.iter().copied().find(|m| m.card().name == name).ok_or_else(|| Error::UnknownName {
        what: "method",
        name: name.to_owned(),
        closest: closest(name, METHODS.iter().map(|m| m.card().name)),
    })
}
