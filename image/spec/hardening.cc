#include "image/spec/hardening.h"

#include <algorithm>
#include <format>

#include "init/base/text.h"
#include "init/machine/hardening/kernel_config.h"
#include "init/machine/hardening/read_back.h"

namespace steppe::spec {
namespace {

using hardening::Kind;
using hardening::Row;
using hardening::Table;
using State = Requirement::State;

bool is_for(const Requirement& one, Architecture architecture) {
  using Processor = Requirement::Processor;
  return one.processor == Processor::kAny || (one.processor == Processor::kAmd64) == (architecture == Architecture::kAmd64);
}

void waive(Row& row, std::string reason) {
  row.state = Row::State::kWaived;
  row.applied = false;
  row.value.clear();
  row.reason = std::move(reason);
}

// Whether a text may stand in a column of the table.
bool is_column(std::string_view text) {
  return text.size() <= hardening::kMaxText && std::ranges::all_of(text, [](char c) { return c >= ' ' && c <= '~'; });
}

class Decision {
 public:
  Decision(const Spec& spec, const HardeningInput& input) : spec_(spec), input_(input) {}

  Result<Table> decide() {
    STEPPE_TRY(config_, hardening::parse_kernel_config(input_.kernel_config)
                            .wrap(std::format("boot/config-{}", input_.kernel_release)));
    table_.kernel = input_.kernel_release;
    for (const Requirement& one : input_.requirements) {
      if (is_for(one, spec_.image.architecture)) add(one);
    }
    for (const Waiver& one : spec_.waivers) {
      if (!waived_.contains(one.row)) fault(one.row, std::format("{} waives it, but the table has no such row: "
          "steppe-image inspect shows the rows of an image", spec_.file));
    }
    if (!faults_.empty())
      return Error(Code::kInvalid, std::format("{} rows of the hardening table (image/spec/hardening_rows.cc, "
          "hardening_kernel_rows.cc) do not hold:{}", count_, faults_));
    return std::move(table_);
  }

 private:
  void fault(std::string_view row, std::string_view why) {
    ++count_;
    faults_ += std::format("\n  {}: {}", row, why);
  }

  void add(const Requirement& one) {
    Row row{.kind = one.kind, .name = std::string(one.name), .asked = std::string(one.asked)};
    row.since = one.since, row.need = one.need;
    row.value = row.asked;
    const std::string name = hardening::row_name(row);
    if (table_.find(row.kind, row.name) != nullptr) return fault(name, "it stands there twice: take one out");
    if (one.state == State::kUndecided) return fault(name, "neither enforced nor waived: decide, and give a waiver "
        "its reason");
    if ((one.state == State::kWaived) == one.reason.empty()) return fault(name, "a reason belongs to a waiver, and "
        "every waiver needs one");
    if (one.state == State::kWaived) {
      waive(row, std::string(one.reason));
      if (one.weaker) row.applied = true, row.value = one.value;
    }
    const auto own = std::ranges::find(spec_.waivers, name, &Waiver::row);
    if (own != spec_.waivers.end()) {
      waived_.insert(name);
      waive(row, own->reason);
    } else if (row.kind == Kind::kKernel) {
      if (!check_kernel(one, row, name)) return;
    } else if (!hardening::kernel_at_least(input_.kernel_release, one.since)) {
      waive(row, std::format("kernel {} does not know it", input_.kernel_release));
    }
    if (row.kind == Kind::kKernel && row.state == Row::State::kWaived) row.applied = false;
    for (const std::string* text : {&row.name, &row.asked, &row.since, &row.value, &row.reason}) {
      if (!is_column(*text)) return fault(name, std::format("more than {} bytes, or one that is not printable "
          "ASCII: \"{}\"", hardening::kMaxText, text->substr(0, 40)));
    }
    table_.rows.push_back(std::move(row));
  }

  // False: said already.
  bool check_kernel(const Requirement& one, Row& row, const std::string& name) {
    const std::string value = hardening::kernel_value(config_, one.name);
    if (hardening::satisfies(one.asked, value)) {
      row.state = Row::State::kEnforced, row.applied = true, row.value = row.asked, row.reason.clear();
      return true;
    }
    if (!one.absent_module.empty() && input_.module_names.contains(std::string(one.absent_module))) {
      fault(name, std::format("waived because the image has no module {}, which it has: waive it for another "
          "reason, or leave the module out (kernel.classes, kernel.modules)", one.absent_module));
      return false;
    }
    if (one.state == State::kWaived) return true;
    if (!hardening::kernel_at_least(input_.kernel_release, one.since)) {
      waive(row, std::format("kernel {} does not know it", input_.kernel_release));
      return true;
    }
    fault(name, std::format("enforced as \"{}\", but kernel {} has \"{}\" (its boot/config): take another kernel, or waive the row, "
                            "for one image in the hardening block of its spec: waive \"{}\" {{ reason = \"...\" }}",
                            one.asked, input_.kernel_release, value, name));
    return false;
  }

  const Spec& spec_;
  const HardeningInput& input_;
  hardening::KernelConfig config_;
  Table table_;
  std::set<std::string> waived_;
  std::string faults_;
  size_t count_ = 0;
};

// "pti=on" -> "pti", "on".
std::pair<std::string_view, std::string_view> divide(std::string_view word) {
  const size_t equals = std::min(word.find('='), word.size());
  return {word.substr(0, equals), equals == word.size() ? "" : word.substr(equals + 1)};
}

std::string as_word(const Row& row) { return row.value.empty() ? row.name : std::format("{}={}", row.name, row.value); }

}  // namespace

Result<Table> decide_hardening(const Spec& spec, const HardeningInput& input) { return Decision(spec, input).decide(); }

Result<std::vector<std::string>> merge_arguments(const std::vector<std::string>& given, const Table& table) {
  std::vector<std::string> out = given;
  std::set<std::string, std::less<>> there;
  for (const std::string& word : hardening::command_words(join(given, " "))) {
    const auto [name, value] = divide(word);
    const Row* row = table.find(Kind::kArgument, name);
    if (row == nullptr || !row->applied) continue;
    const std::string wanted = row->value == hardening::kAbsent ? "no such argument" : as_word(*row);
    if (row->value != value)
      return Error(Code::kInvalid, std::format("kernel.arguments: \"{}\" contradicts the hardening table, which wants {}; leave it out, or "
                                               "say why in the spec's hardening block: waive \"{}\" {{ reason = \"...\" }}",
                                               word, wanted, hardening::row_name(*row)));
    there.insert(std::string(name));
  }
  for (const Row& row : table.rows) {
    if (row.kind != Kind::kArgument || !row.applied || row.value == hardening::kAbsent || there.contains(row.name)) continue;
    out.push_back(as_word(row));
  }
  if (const size_t size = join(out, " ").size(); size > kMaxArguments)
    return Error(Code::kInvalid, std::format("the kernel's arguments take {} bytes with those of the hardening "
        "table, and it reads {}: shorten kernel.arguments", size, kMaxArguments));
  return out;
}

}  // namespace steppe::spec
