#include "agent/model/equality.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/message.h>

#include <string>

namespace steppe::model {
namespace {

std::string encode(const google::protobuf::Message& message) {
  std::string bytes;
  google::protobuf::io::StringOutputStream stream(&bytes);
  google::protobuf::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);  // map entries in key order
  message.SerializeToCodedStream(&coded);
  coded.Trim();
  return bytes;
}

}  // namespace

bool same(const google::protobuf::Message& a, const google::protobuf::Message& b) {
  return a.ByteSizeLong() == b.ByteSizeLong() && encode(a) == encode(b);
}

}  // namespace steppe::model
