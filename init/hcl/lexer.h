#pragma once

#include <vector>

#include "init/hcl/diagnostic.h"
#include "init/hcl/token.h"

namespace steppe::hcl {

// How deep templates may stand inside templates ("${"${…}"}").
inline constexpr size_t kMaxTemplateDepth = 64;

enum class LexMode : uint8_t { kExpression, kTemplate };  // kTemplate: the whole text is a bare template

// Splits a text into tokens that end with kEnd, in one pass. Comments and white space are left out. Faults go to
// `diagnostics` and end the list early: what follows a broken token is guesswork. The byte ranges of neighbours never
// overlap.
std::vector<Token> lex(const Source& source, LexMode mode, Diagnostics& diagnostics);

// True for a whole HCL identifier: a letter or '_', then letters, digits, '_' and '-'. Code points beyond ASCII count
// as letters unless they are spaces or general punctuation (no Unicode tables here).
bool is_identifier(std::string_view text);

}  // namespace steppe::hcl
