#include "agent/endpoint/identity.h"

#include <algorithm>
#include <utility>

namespace steppe::endpoint {
namespace {

class Management final : public Identity {
 public:
  explicit Management(std::string name) : name_(std::move(name)) {}
  std::string_view name() const override { return name_; }
  bool allows(Capability, std::string_view) const override { return true; }
  bool allows_somewhere(Capability) const override { return true; }

 private:
  std::string name_;
};

class Granted final : public Identity {
 public:
  using Grants = std::map<std::string, CapabilitySet, std::less<>>;
  Granted(std::string name, Grants grants) : name_(std::move(name)), grants_(std::move(grants)) {}
  std::string_view name() const override { return name_; }
  bool allows(Capability capability, std::string_view space) const override {
    const auto at = grants_.find(namespaced(capability) ? space : std::string_view());
    return at != grants_.end() && at->second.has(capability);
  }
  bool allows_somewhere(Capability capability) const override {
    if (!namespaced(capability)) return allows(capability, {});
    return std::ranges::any_of(grants_, [&](const auto& grant) { return !grant.first.empty() && grant.second.has(capability); });
  }

 private:
  std::string name_;
  Grants grants_;
};

class OpenResolver final : public Resolver {
 public:
  Outcome<std::shared_ptr<const Identity>> resolve(const Secret&) const override { return anonymous_; }

 private:
  std::shared_ptr<const Identity> anonymous_ = management_identity("anonymous");
};

}  // namespace

std::shared_ptr<const Identity> management_identity(std::string name) { return std::make_shared<Management>(std::move(name)); }
std::shared_ptr<const Identity> granted_identity(std::string name, std::map<std::string, CapabilitySet, std::less<>> grants) {
  return std::make_shared<Granted>(std::move(name), std::move(grants));
}
std::unique_ptr<Resolver> open_resolver() { return std::make_unique<OpenResolver>(); }

}  // namespace steppe::endpoint
