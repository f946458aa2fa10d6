// FastJet's and its contrib's answers to events on standard input: for each event the number of particles, then px py pz E.
// Writes one JSON object a line. Built by pileup_reference.py.

#include <cstdio>
#include <iostream>

#include "fastjet/ClusterSequenceArea.hh"
#include "fastjet/contrib/ConstituentSubtractor.hh"
#include "fastjet/contrib/SoftKiller.hh"
#include "fastjet/tools/GridMedianBackgroundEstimator.hh"
#include "fastjet/tools/Subtractor.hh"

using namespace fastjet;

static void list(const char *name, const std::vector<PseudoJet> &jets, const char *end) {
  std::printf("\"%s\": [", name);
  for (size_t i = 0; i < jets.size(); ++i)
    std::printf("%s[%.17g, %.17g, %.17g, %.17g]", i ? ", " : "", jets[i].px(), jets[i].py(), jets[i].pz(), jets[i].E());
  std::printf("]%s", end);
}

int main() {
  ClusterSequence::set_fastjet_banner_stream(nullptr);
  std::cout.setstate(std::ios::failbit);
  size_t n;
  while (std::cin >> n) {
    std::vector<PseudoJet> particles;
    for (size_t i = 0; i < n; ++i) {
      double px, py, pz, e;
      std::cin >> px >> py >> pz >> e;
      particles.emplace_back(px, py, pz, e);
    }
    // No scatter: ghosts stand in the centres of cells.
    GhostedAreaSpec ghosts(4.0, 1, 0.01, 0.0, 0.0);
    JetDefinition anti_kt(antikt_algorithm, 0.4);
    ClusterSequenceArea areas(particles, anti_kt, AreaDefinition(active_area_explicit_ghosts, ghosts));
    std::vector<PseudoJet> jets = sorted_by_pt(areas.inclusive_jets(5.0)), four;
    GridMedianBackgroundEstimator grid(4.0, 0.55);
    grid.set_particles(particles);
    Subtractor subtractor(&grid);
    std::printf("{\"rho\": %.17g, ", grid.rho());
    list("jets", jets, ", ");
    std::printf("\"areas\": [");
    for (size_t i = 0; i < jets.size(); ++i) std::printf("%s%.17g", i ? ", " : "", jets[i].area());
    std::printf("], ");
    for (const PseudoJet &jet : jets) four.push_back(jet.area_4vector());
    list("four_areas", four, ", ");
    std::vector<PseudoJet> subtracted;
    for (const PseudoJet &jet : jets) subtracted.push_back(subtractor(jet));
    list("subtracted", subtracted, ", ");
    list("soft_killer", contrib::SoftKiller(4.0, 0.5)(particles), ", ");
    // These numbers of cells are whole whether they are rounded or cut off.
    contrib::ConstituentSubtractor constituents;
    constituents.set_scalar_background_density(grid.rho());
    constituents.set_max_distance(0.25);
    constituents.set_alpha(0);
    constituents.set_ghost_area(0.0109);
    constituents.set_max_eta(3.97);
    constituents.initialize();
    list("constituents", constituents.subtract_event(particles), "}\n");
  }
}
