#pragma once

#include <set>

#include "agent/config/fields.h"
#include "init/hcl/ast.h"
#include "init/hcl/diagnostic.h"
#include "init/hcl/eval.h"

namespace steppe::config {

// What the sections of one file share.
struct Reading {
  const hcl::Source& source;
  hcl::Diagnostics& diagnostics;
  hcl::Budget& budget;
  std::set<std::string>& ignored;  // paths of keys that were given and that nothing acts on
};

// Fills settings from one block of a file.
class Section final : public Fields {
 public:
  Section(const hcl::Body& body, std::string path, Reading& reading)
      : body_(body), path_(std::move(path)), reading_(reading) {}

  void text(std::string_view key, std::string& value) override;
  void flag(std::string_view key, bool& value) override;
  void integer(std::string_view key, int64_t& value, int64_t least, int64_t most) override;
  void optional_integer(std::string_view key, std::optional<int64_t>& value, int64_t least, int64_t most) override;
  void real(std::string_view key, double& value) override;
  void duration(std::string_view key, Duration& value) override;
  void texts(std::string_view key, TextList& value, Lists lists) override;
  void map(std::string_view key, TextMap& value) override;
  void secret(std::string_view key, Secret& value) override;
  void opaque(std::string_view key, drivers::ConfigMap& value) override;
  void ignored(std::string_view key) override;
  void not_acted_on() override { acts_ = false; }
  bool reading() const override { return true; }
  void block(std::string_view key, const std::function<void(Fields&)>& inside) override;
  void named_blocks(std::string_view key, const std::vector<std::string>& present,
                    const std::function<void(Fields&, const std::string& label)>& inside) override;

  // Reports what the block holds and nobody asked for.
  void finish();

 private:
  // The value of an attribute converted to `type`; nullopt when it is absent, null or, with an error, of a wrong type.
  std::optional<hcl::Value> take(std::string_view key, const hcl::Type& type);
  std::optional<hcl::Value> evaluate(const hcl::Attribute& attribute);
  std::string path_of(std::string_view key) const {
    return path_.empty() ? std::string(key) : path_ + "." + std::string(key);
  }
  void note(std::string_view key);
  void bad(const hcl::Attribute& attribute, std::string why);
  bool opaque_value(const hcl::Value& value, drivers::ConfigValue& into, hcl::Range place);
  void opaque_body(const hcl::Body& body, drivers::ConfigMap& into);

  const hcl::Body& body_;
  std::string path_;
  Reading& reading_;
  std::set<std::string, std::less<>> known_;
  bool acts_ = true;
};

}  // namespace steppe::config
