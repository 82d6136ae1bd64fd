#pragma once

#include "agent/state/views.h"

namespace steppe::schema {
class AllocListStub;
class JobListStub;
class NodeListStub;
class EvaluationStub;
}

// The short forms that lists show.
namespace steppe::server {

struct AllocStubParts {
  bool resources = false;
  bool task_states = true;
};

void job_stub(const state::JobView& job, bool with_meta, schema::JobListStub* out);
void alloc_stub(const state::AllocView& alloc, const AllocStubParts& parts, schema::AllocListStub* out);
void alloc_stub(const schema::Allocation& alloc, const AllocStubParts& parts, schema::AllocListStub* out);
void node_stub(const schema::Node& node, bool resources, bool os, schema::NodeListStub* out);
void eval_stub(const schema::Evaluation& eval, schema::EvaluationStub* out);

// What a whole alloc shows beside what is stored: the resource fields of before 0.9.
void show_alloc(schema::Allocation* alloc);
// A node as the API shows it: without its secret, with `drain`.
void show_node(schema::Node* node);

}  // namespace steppe::server
