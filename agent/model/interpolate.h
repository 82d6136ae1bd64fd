#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace steppe::schema {
class Node;
}

// ${...} in job fields. The scheduler resolves targets against a node; the client replaces tokens in text.
namespace steppe::model {

// The value of a constraint's, affinity's or spread's side on `node`. A target that does not start with "${" is a
// literal, itself. ${node.unique.id}, ${node.unique.name}, ${node.datacenter}, ${node.class}, ${node.pool}, ${attr.K},
// ${meta.K}; any other key, and an attribute or meta that the node lacks, is nullopt. The view lives as long as both.
std::optional<std::string_view> resolve_target(const schema::Node& node, std::string_view target);

// True for a target below `unique.`: two nodes of one class may answer differently.
bool is_unique_target(std::string_view target);

// Looks a key up; nullopt leaves the token as it stands. Keys: letters, digits, '_', '-', '.'.
using TokenLookup = std::function<std::optional<std::string>(std::string_view key)>;

// Replaces every ${key} that the lookup knows. One pass: what a value contains is not looked at again.
std::string replace_tokens(std::string_view text, const TokenLookup& lookup);

// True when `text` holds at least one ${key}.
bool has_tokens(std::string_view text);

// The name of an environment variable as Nomad writes it: every byte that is not a letter, digit, '_' or '.', and a
// leading digit, becomes '_'.
std::string clean_env_name(std::string_view name);

// ${JOB} ${TASKGROUP} ${TASK} ${BASE} (job-group-task) in service and check names. For a group's service Nomad says
// "group" where the task's name would stand; so does this when `task` is empty.
std::string interpolate_service_name(std::string_view text, std::string_view job, std::string_view group,
                                     std::string_view task);

}  // namespace steppe::model
