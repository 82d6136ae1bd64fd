#include "init/machine/network/network_plan.h"

#include <algorithm>
#include <map>

#include "init/base/text.h"

namespace steppe::network {
namespace {

using kernel::NetworkLink;

bool is_device(const Settings& settings, const NetworkLink& link) {
  return !link.loopback && (link.kind.empty() || link.kind == settings.device_kind);
}

bool matches(const Settings& settings, const Match& match, const NetworkLink& link) {
  // What was made is never meant by a pattern for devices: a bond takes over the address of its first member.
  if (!is_device(settings, link)) return false;
  if (!match.name.empty() && !glob_match(match.name, link.name)) return false;
  return match.address.empty() || match.address == link.address;
}

class Planner {
 public:
  Planner(const Settings& settings, const Observed& observed) : settings_(settings), observed_(observed) {
    // A member belongs to its bond and has no settings of its own; else the first settings that match count.
    for (const LinkSettings& wanted : settings.links) {
      if (!wanted.bond) continue;
      for (const NetworkLink& link : observed.links) {
        if (std::ranges::any_of(wanted.bond->members, [&](const Match& member) { return matches(settings, member, link); })) member_of_.try_emplace(link.index, wanted.name);
      }
    }
    for (const NetworkLink& link : observed.links) {
      if (member_of_.contains(link.index)) continue;
      for (const LinkSettings& wanted : settings.links) {
        const bool made = wanted.vlan || wanted.bond;
        if (made ? wanted.name == link.name && !link.kind.empty() : matches(settings, wanted.match, link)) {
          settings_of_.emplace(link.index, &wanted);
          break;
        }
      }
    }
  }

  std::vector<Action> actions() {
    make();
    for (const NetworkLink& link : observed_.links) {
      if (auto member = member_of_.find(link.index); member != member_of_.end()) {
        join(link, member->second);
      } else {
        configure(link);
      }
    }
    return std::move(out_);
  }

  std::vector<std::string> by_dhcp() const {
    std::vector<std::string> out;
    for (const NetworkLink& link : observed_.links) {
      if (link.loopback || member_of_.contains(link.index)) continue;
      const LinkSettings* wanted = of(link);
      // Of what is not configured only devices: a bridge of a driver's or a task's end of a pair is nobody's uplink.
      if (wanted != nullptr ? wanted->dhcp : settings_.others_by_dhcp && is_device(settings_, link)) out.push_back(link.name);
    }
    std::ranges::sort(out);
    return out;
  }

 private:
  const LinkSettings* of(const NetworkLink& link) const {
    auto found = settings_of_.find(link.index);
    return found == settings_of_.end() ? nullptr : found->second;
  }
  const NetworkLink* named(std::string_view name) const {
    auto found = std::ranges::find(observed_.links, name, &NetworkLink::name);
    return found == observed_.links.end() ? nullptr : &*found;
  }

  void make() {
    for (const LinkSettings& wanted : settings_.links) {
      if (wanted.bond && named(wanted.name) == nullptr) out_.push_back(MakeBond{wanted.name, wanted.bond->mode});
      if (!wanted.vlan || named(wanted.name) != nullptr) continue;
      if (const NetworkLink* parent = named(wanted.vlan->parent)) out_.push_back(MakeVlan{wanted.name, parent->index, wanted.vlan->id});
    }
  }

  // A bond takes members that are down only, and sets them up itself.
  void join(const NetworkLink& link, const std::string& bond) {
    const NetworkLink* master = named(bond);
    if (master == nullptr || link.master == master->index) return;
    if (link.up) out_.push_back(SetUp{link.index, false});
    out_.push_back(SetMaster{link.index, master->index});
  }

  void configure(const NetworkLink& link) {
    const LinkSettings* wanted = of(link);
    const bool ours = link.loopback || wanted != nullptr || (settings_.others_by_dhcp && is_device(settings_, link));
    if (!ours) return;
    if (wanted != nullptr && wanted->mtu != 0 && wanted->mtu != link.mtu) out_.push_back(SetMtu{link.index, wanted->mtu});
    if (!link.up) {
      // A VLAN goes up after its parent, a bond once a member can carry it or not at all.
      out_.push_back(SetUp{link.index, true});
    }
    if (wanted == nullptr) return;
    for (const kernel::IpPrefix& prefix : wanted->addresses) {
      const bool there = std::ranges::any_of(observed_.addresses, [&](const kernel::LinkAddress& have) { return have.link == link.index && have.prefix == prefix; });
      if (!there) out_.push_back(AddAddress{link.index, prefix});
    }
    // The kernel takes a gateway only when the link is up and an address leads to it: once both are seen.
    if (!link.up) return;
    for (const RouteSettings& route : wanted->routes) {
      const bool ready = std::ranges::all_of(wanted->addresses, [&](const kernel::IpPrefix& prefix) {
        return std::ranges::any_of(observed_.addresses, [&](const kernel::LinkAddress& have) { return have.link == link.index && have.prefix == prefix; });
      });
      const bool there = std::ranges::any_of(observed_.routes, [&](const kernel::Route& have) {
        return have.link == link.index && have.destination == route.destination && have.gateway == route.gateway && (route.metric == 0 || have.metric == route.metric);
      });
      if (ready && !there) out_.push_back(AddRoute{{route.destination, route.gateway, link.index, route.metric}});
    }
  }

  const Settings& settings_;
  const Observed& observed_;
  std::map<int, std::string> member_of_;             // link index -> name of its bond
  std::map<int, const LinkSettings*> settings_of_;   // link index -> its settings
  std::vector<Action> out_;
};

}  // namespace

std::vector<Action> next_actions(const Settings& settings, const Observed& observed) { return Planner(settings, observed).actions(); }
std::vector<std::string> dhcp_links(const Settings& settings, const Observed& observed) { return Planner(settings, observed).by_dhcp(); }

}  // namespace steppe::network
