#include "agent/jobspec/block_walk.h"

#include <format>

namespace steppe::jobspec {
namespace {

class DynamicBlock {
 public:
  DynamicBlock(const hcl::Block& block, const hcl::Scope& scope, const Context& context)
      : block_(block), scope_(scope), context_(context) {}

  bool expand(const std::function<bool(const BlockVisit&)>& visit) {
    if (!read_parts()) return false;
    auto items = context_.evaluate(*for_each_->expr, scope_);
    if (!items) return false;
    if (!items->is_sequence() && !items->is_mapping()) {
      context_.error(
          for_each_->expr->range, "Invalid dynamic for_each value",
          std::format("Cannot use a value of type {} in for_each: a list, set, tuple, map or object is needed.",
                      items->type_name()));
      return false;
    }
    bool ok = true;
    if (items->is_mapping()) {
      for (const auto& [key, value] : items->mapping()) ok = instance(hcl::Value(key), value, visit) && ok;
    } else {
      int64_t index = 0;
      for (const hcl::Value& value : items->sequence()) {
        bool set = items->kind() == hcl::Kind::kSet;
        ok = instance(set ? value : hcl::Value(hcl::Number(index++)), value, visit) && ok;
      }
    }
    return ok;
  }

 private:
  bool fail(hcl::Range range, std::string detail) {
    context_.error(range, "Invalid dynamic block", std::move(detail));
    return false;
  }

  bool read_parts() {
    if (block_.labels.size() != 1)
      return fail(block_.header, "A dynamic block needs one label: the type of the blocks that it makes.");
    type_ = block_.labels[0].text;
    iterator_ = type_;
    for (const hcl::Attribute& attribute : block_.body.attributes) {
      if (attribute.name == "for_each") {
        for_each_ = &attribute;
      } else if (attribute.name == "labels") {
        labels_ = &attribute;
      } else if (attribute.name == "iterator") {
        const auto* name = std::get_if<hcl::ReferenceExpr>(&attribute.expr->node);
        if (!name || !name->steps.empty())
          return fail(attribute.expr->range, "The iterator must be a single bare name.");
        iterator_ = name->root;
      } else {
        return fail(
            attribute.name_range,
            std::format(
                "\"{}\" is not expected here: a dynamic block has for_each, iterator, labels and a content block.",
                attribute.name));
      }
    }
    for (const hcl::Block& inner : block_.body.blocks) {
      if (inner.type != "content" || content_ || !inner.labels.empty()) {
        return fail(inner.type_range, "A dynamic block holds exactly one block, content { }, without labels.");
      }
      content_ = &inner.body;
    }
    if (!for_each_) return fail(block_.header, "The argument for_each is missing: the items to make blocks for.");
    if (!content_) return fail(block_.header, "The block content { } is missing: what each block made holds.");
    return true;
  }

  bool instance(const hcl::Value& key, const hcl::Value& value, const std::function<bool(const BlockVisit&)>& visit) {
    if (!context_.spend(block_.header, 16, 0)) return false;
    hcl::Scope inner{{}, &scope_};
    hcl::Value::Mapping item{{"key", key}, {"value", value}};
    auto object = hcl::Value::make_mapping(hcl::Kind::kObject, std::move(item));
    if (!object.ok()) return fail(for_each_->expr->range, object.error().message() + ".");
    inner.variables.emplace(iterator_, *std::move(object));
    std::vector<hcl::Label> labels;
    if (labels_ && !read_labels(inner, labels)) return false;
    return visit({type_, block_.header, block_.labels[0].range, labels, *content_, inner});
  }

  bool read_labels(const hcl::Scope& inner, std::vector<hcl::Label>& labels) {
    auto values = context_.evaluate(*labels_->expr, inner);
    if (!values) return false;
    if (!values->is_sequence()) return fail(labels_->expr->range, "Labels must be a list of strings.");
    for (const hcl::Value& value : values->sequence()) {
      auto text = convert(value, hcl::Type::string());
      if (!text.ok() || text->is_null())
        return fail(labels_->expr->range, "Every label must be a string and not null.");
      labels.push_back({text->string(), labels_->expr->range});
    }
    return true;
  }

  const hcl::Block& block_;
  const hcl::Scope& scope_;
  const Context& context_;
  std::string type_;
  std::string iterator_;
  const hcl::Attribute* for_each_ = nullptr;
  const hcl::Attribute* labels_ = nullptr;
  const hcl::Body* content_ = nullptr;
};

}  // namespace

std::optional<hcl::Value> Context::evaluate(const hcl::Expr& expr, const hcl::Scope& in) const {
  hcl::Evaluation evaluation{source, &in, functions, budget, diagnostics, hcl::UnknownName::kKeepText};
  return hcl::evaluate(expr, evaluation);
}

void Context::error(hcl::Range range, std::string summary, std::string detail) const {
  diagnostics.error(source, range, std::move(summary), std::move(detail));
}

bool Context::spend(hcl::Range range, uint64_t steps, uint64_t bytes) const {
  auto paid = budget.take_steps(steps);
  if (paid.ok()) paid = budget.take_bytes(bytes);
  if (!paid.ok()) error(range, "Evaluation limit reached", paid.error().message() + ".");
  return paid.ok();
}

bool for_each_block(const hcl::Body& body, const hcl::Scope& scope, const Context& context,
                    const std::function<bool(const BlockVisit&)>& visit) {
  bool ok = true;
  for (const hcl::Block& block : body.blocks) {
    if (!context.spend(block.header, 1, 64)) return false;
    if (block.type == "dynamic") {
      ok = DynamicBlock(block, scope, context).expand(visit) && ok;
    } else {
      ok = visit({block.type, block.header, block.type_range, block.labels, block.body, scope}) && ok;
    }
  }
  return ok;
}

}  // namespace steppe::jobspec
