// The keys of the lists in the file: [[model]] and [[tenant]]. Any thread.
#include "base/config_rule.h"

namespace deepmoat::config_internal {

namespace {

#define IN_MODEL(path) [](Target t) -> auto& { return t.model->path; }
#define IN_TENANT(path) [](Target t) -> auto& { return t.tenant->path; }

void add_lifecycle_rules(std::vector<KeyRule>& rules) {
  rules.push_back(
      text({"model", "name",
            "Name that callers write into \"model\"; empty: the file's name without its ending.",
            kReloadable},
           IN_MODEL(name)));
  rules.push_back(text({"model", "path",
                        "The model's GGUF file; empty: `name` is an imported model (`deepmoat "
                        "model import`).",
                        kReloadable},
                       IN_MODEL(path)));
  rules.push_back(choice({"model", "task",
                          "What the model does: generate, embed or rerank; auto: what its file "
                          "says.",
                          kReloadable},
                         IN_MODEL(task), {"auto", "generate", "embed", "rerank"}));
  rules.push_back(choice({"model", "pooling",
                          "How token vectors become one embedding: none, mean, cls, last or rank; "
                          "empty: as the model's file says.",
                          kReloadable},
                         IN_MODEL(pooling), {"", "none", "mean", "cls", "last", "rank"}));
  rules.push_back(choice({"model", "load",
                          "When the model is loaded: at the server's start, or on demand by the "
                          "first call.",
                          kReloadable},
                         IN_MODEL(load), {"start", "demand"}));
  rules.push_back(integer({"model", "replicas",
                           "Workers that run the model; a call goes to the one that has its prefix "
                           "cached, unless that is much busier than another.",
                           kReloadable},
                          IN_MODEL(replicas), 1, 64));
  rules.push_back(integer({"model", "idle_unload_s",
                           "Seconds without a call after which the model's memory is freed until "
                           "the next call; 0: never.",
                           kReloadable},
                          IN_MODEL(idle_unload_s), 0, 31'536'000));
}

void add_engine_rules(std::vector<KeyRule>& rules) {
  rules.push_back(integer(
      {"model", "threads", "Threads of each worker of the model; 0: one a core.", kReloadable},
      IN_MODEL(threads), 0, 1024));
  rules.push_back(integer(
      {"model", "cells", "Tokens of context that all calls of a worker share; 0: chosen by memory.",
       kReloadable},
      IN_MODEL(cells), 0, 100'000'000));
  rules.push_back(integer({"model", "max_batch_size", "Most calls in one batch.", kReloadable},
                          IN_MODEL(max_batch_size), 1, 4096));
  rules.push_back(
      integer({"model", "step_tokens",
               "Token budget of one scheduler step; 0: chosen by the worker.", kReloadable},
              IN_MODEL(step_tokens), 0, 65'536));
  rules.push_back(integer({"model", "inter_token_ms",
                           "Milliseconds that a step may take while answers run, so the longest "
                           "wait between two tokens; while quiet tenants come a third of it, and "
                           "a third more where one's prompt has a step to itself; "
                           "0: chosen by the worker.",
                           kReloadable},
                          IN_MODEL(inter_token_ms), 0, 60'000));
  rules.push_back(choice({"model", "layout",
                          "Of the KV memory: unified shares a prefix's cells, streams keeps one "
                          "memory a sequence; auto: chosen by the worker.",
                          kReloadable},
                         IN_MODEL(layout), {"auto", "unified", "streams"}));
  rules.push_back(integer({"model", "spill_mib",
                           "Host memory in MiB in which each worker may keep prefixes and paused "
                           "calls that left the KV memory, and checkpoints of models that need "
                           "them; 0: none, -1: chosen by the worker.",
                           kReloadable},
                          IN_MODEL(spill_mib), -1, 1LL << 30));
  rules.push_back(text({"model", "cpu_variant",
                        "CPU variant of the engine, e.g. \"haswell\"; \"auto\": the best one that "
                        "passes its self-test.",
                        kReloadable},
                       IN_MODEL(cpu_variant)));
}

void add_call_rules(std::vector<KeyRule>& rules) {
  rules.push_back(
      text_list({"model", "adapters",
                 "LoRA adapters that calls may name: \"NAME=FILE\", \"NAME=FILE:SCALE\", "
                 "or the name of an imported one.",
                 kReloadable},
                IN_MODEL(adapters)));
  rules.push_back(
      text_list({"model", "public_prefixes",
                 "Files with the text of a system message that callers of all tenants "
                 "send: its cached prefix is shared by all. Others can find out by timing "
                 "that it is in use.",
                 kReloadable},
                IN_MODEL(public_prefixes)));
  rules.push_back(number({"model", "default_temperature",
                          "Temperature of calls that name none; below 0: the interface's default, "
                          "1.",
                          kReloadable},
                         IN_MODEL(default_temperature), -1, 2));
  rules.push_back(
      number({"model", "default_top_p",
              "top_p of calls that name none; below 0: the interface's default, 1.", kReloadable},
             IN_MODEL(default_top_p), -1, 1));
  rules.push_back(integer({"model", "default_max_tokens",
                           "Longest answer in tokens of calls that name none; 0: what the context "
                           "holds.",
                           kReloadable},
                          IN_MODEL(default_max_tokens), 0, 100'000'000));
}

}  // namespace

void add_model_rules(std::vector<KeyRule>& rules) {
  add_lifecycle_rules(rules);
  add_engine_rules(rules);
  add_call_rules(rules);
}

void add_tenant_rules(std::vector<KeyRule>& rules) {
  rules.push_back(
      text({"tenant", "name", "The tenant, as its keys name it.", kReloadable}, IN_TENANT(name)));
  rules.push_back(
      number({"tenant", "weight",
              "Share of a busy model beside other tenants: 2 gets twice what 1 gets.", kReloadable},
             IN_TENANT(weight), 0.01, 1000));
  rules.push_back(
      integer({"tenant", "priority",
               "Class: calls of class 0 go before those of class 1, and so on, whatever "
               "the weights.",
               kReloadable},
              IN_TENANT(priority), 0, 9));
  rules.push_back(
      integer({"tenant", "queue_max",
               "Its calls that may wait in one worker; 0: limits.queue_per_tenant.", kReloadable},
              IN_TENANT(queue_max), 0, 100'000));
  rules.push_back(integer(
      {"tenant", "wait_s_max",
       "Seconds that its calls may wait for their turn; 0: limits.wait_s_max.", kReloadable},
      IN_TENANT(wait_s_max), 0, 86'400));
}

#undef IN_MODEL
#undef IN_TENANT

}  // namespace deepmoat::config_internal
