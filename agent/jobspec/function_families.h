#pragma once

#include <string>
#include <utility>
#include <vector>

#include "agent/jobspec/functions.h"

// The families of functions, one file each. Internal to agent/jobspec.
namespace steppe::jobspec {

using Arguments = std::span<const hcl::Value>;

void add_numeric(hcl::FunctionTable& table);
void add_strings(hcl::FunctionTable& table);
void add_formatting(hcl::FunctionTable& table);
void add_collections(hcl::FunctionTable& table);
void add_sets(hcl::FunctionTable& table);
void add_encodings(hcl::FunctionTable& table);
void add_yaml(hcl::FunctionTable& table);
void add_crypto(hcl::FunctionTable& table, Rng* rng);
void add_networks(hcl::FunctionTable& table);
void add_dates(hcl::FunctionTable& table);
void add_types(hcl::FunctionTable& table);
void add_files(hcl::FunctionTable& table, const ParseOptions& options);

inline hcl::Function::Parameter text_parameter(std::string name) { return {std::move(name), hcl::Type::string()}; }
inline hcl::Function::Parameter number_parameter(std::string name) { return {std::move(name), hcl::Type::number()}; }
inline hcl::Function::Parameter any_parameter(std::string name) { return {std::move(name), hcl::Type::any()}; }
inline hcl::Function::Parameter nullable_parameter(std::string name) {
  return {std::move(name), hcl::Type::any(), true};
}

using Call = Result<hcl::Value> (*)(Arguments arguments, hcl::Budget& budget);

inline void add(hcl::FunctionTable& table, std::string name, std::vector<hcl::Function::Parameter> parameters,
                Call call) {
  hcl::Function function;
  function.parameters = std::move(parameters);
  function.call = call;
  table.emplace(std::move(name), std::move(function));
}
inline void add_variadic(hcl::FunctionTable& table, std::string name, std::vector<hcl::Function::Parameter> parameters,
                         hcl::Function::Parameter rest, Call call) {
  hcl::Function function;
  function.parameters = std::move(parameters);
  function.rest = std::move(rest);
  function.call = call;
  table.emplace(std::move(name), std::move(function));
}

inline Error invalid(std::string message) { return Error(Code::kInvalid, std::move(message)); }

// A whole number that fits in 64 bits.
Result<int64_t> whole(const hcl::Value& value);

// Compact JSON as Go's encoder writes it: keys sorted, and <, > and & escaped.
std::string encode_json(const hcl::Value& value);

// Ends of the grapheme clusters (what people count as characters) of a UTF-8 text: combining marks, variation
// selectors, skin tones, joined emoji and flags count with what they modify. An approximation of Unicode's annex 29
// without its tables.
std::vector<size_t> grapheme_ends(std::string_view text);

}  // namespace steppe::jobspec
