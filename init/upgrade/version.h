#pragma once

#include <compare>
#include <string_view>

namespace steppe::upgrade {

// The order of image versions, which is the boot loader's: UAPI.10 "Version Format Specification". Bytes outside
// [a-zA-Z0-9.~^-] count for nothing; "~" sorts before everything, even the end ("1~rc1" < "1" < "1-1" < "1^2" < "1.1" <
// "1a"); runs of digits compare as numbers of any length, runs of letters bytewise (capitals first). Pure; linear in the
// texts. Different texts may compare equal ("1" and "01").
std::weak_ordering compare_versions(std::string_view a, std::string_view b);

}  // namespace steppe::upgrade
