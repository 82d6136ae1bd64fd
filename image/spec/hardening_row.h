#pragma once

#include "image/spec/hardening.h"

// The words that the rows of the hardening table are written with.
namespace steppe::spec {

using hardening::Kind;

constexpr Requirement enforced(Kind kind, std::string_view name, std::string_view asked, std::string_view since) {
  return {.kind = kind, .name = name, .asked = asked, .since = since, .state = Requirement::State::kEnforced};
}
constexpr Requirement waived(Kind kind, std::string_view name, std::string_view asked, std::string_view since, std::string_view reason) {
  return {.kind = kind, .name = name, .asked = asked, .since = since, .state = Requirement::State::kWaived, .reason = reason};
}
// Waived, and `value` is set in its place.
constexpr Requirement weaker(Requirement row, std::string_view value) {
  row.weaker = true, row.value = value;
  return row;
}
constexpr Requirement optional(Requirement row) {
  row.need = hardening::Row::Need::kOptional;
  return row;
}
constexpr Requirement amd64(Requirement row) {
  row.processor = Requirement::Processor::kAmd64;
  return row;
}
constexpr Requirement arm64(Requirement row) {
  row.processor = Requirement::Processor::kArm64;
  return row;
}

}  // namespace steppe::spec
