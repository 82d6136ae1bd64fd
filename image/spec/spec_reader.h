#pragma once

#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "image/spec/spec.h"
#include "init/hcl/ast.h"
#include "init/hcl/diagnostic.h"
#include "init/hcl/eval.h"

namespace steppe::spec {

// What the blocks of one spec share.
struct Reading {
  const hcl::Source& source;
  const hcl::Scope& scope;
  hcl::Budget& budget;
  hcl::Diagnostics& diagnostics;
};

// Fills settings from one body. Every key and block that is asked for becomes a known one; finish() reports the rest,
// with the nearest known name.
class Body {
 public:
  Body(const hcl::Body& body, std::string path, Reading& reading)
      : body_(body), path_(std::move(path)), reading_(reading) {}

  // Each leaves `value` as it is when the key is absent, and reports what does not fit.
  bool text(std::string_view key, std::string& value);
  void texts(std::string_view key, TextList& value);
  void flag(std::string_view key, bool& value);
  void integer(std::string_view key, int64_t& value, int64_t least, int64_t most);
  void size(std::string_view key, Bytes& value);
  void mode(std::string_view key, uint32_t& value);
  void links(std::string_view key, std::map<std::string, std::string>& value);
  void time(std::string_view key, int64_t& value);
  // One of `words`; its index.
  void choice(std::string_view key, const std::vector<std::string_view>& words, size_t& value);

  // The one block of this type, or blocks with one label each.
  void block(std::string_view type, const std::function<void(Body&)>& inside);
  void labelled(std::string_view type, const std::function<void(Body&, const std::string& label)>& inside);

  void finish();
  // A finding about the value of `key`, or about the block when it is not there.
  void bad(std::string_view key, std::string why);
  void missing(std::string_view key, std::string_view what);

 private:
  std::optional<hcl::Value> take(std::string_view key, const hcl::Type& type);

  const hcl::Body& body_;
  std::string path_;
  Reading& reading_;
  std::set<std::string, std::less<>> keys_, blocks_;
};

}  // namespace steppe::spec
