#pragma once

// The parts of canonicalize.cc, by what they fill in.
namespace steppe::schema {
class Affinity;
class CheckRestart;
class Constraint;
class Job;
class MigrateStrategy;
class ReschedulePolicy;
class RestartPolicy;
class Service;
class Spread;
class Task;
class TaskGroup;
class UpdateStrategy;
class NetworkResource;
}

namespace steppe::model::parts {

// A policy's unset fields become those of `base`: an inner block merged over an outer one.
template <class Policy>
void merge_under(Policy* policy, const Policy& base) {
  Policy merged = base;
  merged.MergeFrom(*policy);
  *policy = merged;
}

void canonicalize(schema::Constraint* constraint);
void canonicalize(schema::Affinity* affinity);
void canonicalize(schema::Spread* spread);
void canonicalize(schema::NetworkResource* network);

// Needs the group's restart policy to be canonical.
void canonicalize_task(const schema::Job& job, const schema::TaskGroup& group, schema::Task* task);

// `task` is null for a group's service.
void canonicalize_service(const schema::Job& job, const schema::TaskGroup& group, const schema::Task* task,
                          schema::Service* service);

}  // namespace steppe::model::parts
