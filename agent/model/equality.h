#pragma once

namespace google::protobuf {
class Message;
}

namespace steppe::model {

// Equal in every set field; lists in order, maps in any. Both of one type.
bool same(const google::protobuf::Message& a, const google::protobuf::Message& b);

}  // namespace steppe::model
