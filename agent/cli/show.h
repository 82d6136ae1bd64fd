#pragma once

#include <map>
#include <string>
#include <string_view>

namespace steppe::schema {
class AllocMetric;
class AllocListStub;
class Deployment;
class JobDiff;
class JobSummary;
}  // namespace steppe::schema

namespace google::protobuf {
template <class T>
class RepeatedPtrField;
}

namespace steppe::cli {

// A message's map in the order of its keys: as it stands it has none.
template <class Map>
std::map<std::string, typename Map::mapped_type> sorted(const Map& map) {
  return {map.begin(), map.end()};
}

// Why nodes were not taken, line by line ("* Constraint ... filtered 1 node"), each after `indent`; with `scores` the
// table of the best nodes too.
std::string show_metric(const schema::AllocMetric& metric, bool scores, std::string_view indent);

std::string show_allocs(const google::protobuf::RepeatedPtrField<schema::AllocListStub>& stubs, int64_t now_ns, bool verbose);
std::string show_deployment(const schema::Deployment& deployment, bool verbose);
std::string show_summary(const schema::JobSummary& summary);

class Ui;
// A diff as `job plan` shows it, coloured by the Ui.
std::string show_diff(const schema::JobDiff& diff, bool verbose, const Ui& ui);

}  // namespace steppe::cli
