#include "agent/state/built_in_pools.h"

#include "agent/schema/node.pb.h"
#include "agent/state/alloc_codec.h"

namespace steppe::state {

std::vector<PlainRow*> built_in_pools() {
  std::vector<PlainRow*> rows;
  auto add = [&](std::string_view name, std::string_view description) {
    schema::NodePool pool;
    pool.set_name(std::string(name));
    pool.set_description(std::string(description));
    pool.set_create_index(1);
    pool.set_modify_index(1);
    auto* row = new PlainRow();
    row->name = name;
    row->bytes = encode(pool);
    rows.push_back(row);
  };
  add(kPoolAll, "Node pool with all nodes in the cluster.");
  add(kPoolDefault, "Default node pool.");
  return rows;
}

}  // namespace steppe::state
