#pragma once

#include <string>

namespace steppe::schema {
class Node;
}

namespace steppe::model {

// "v1:HASH": equal for nodes that a scheduler may treat alike. Hashes datacenter, class, pool, resources, attributes and
// meta, without what is below `unique.`; not id, name, address, status, drain or indexes. The same on every machine and
// in every release: it is stored.
std::string computed_class(const schema::Node& node);

}  // namespace steppe::model
