job "cache" {
  datacenters = ["us-east-*", "us-west-1"]
  type        = "service"

  spread {
    attribute = "${node.datacenter}"
    weight    = 100

    target "us-east-1" {
      percent = 50
    }
    target "us-east-2" {
      percent = 30
    }
    target "us-west-1" {
      percent = 20
    }
  }

  group "cache" {
    count = 10

    spread {
      attribute = "${meta.rack}"
    }

    affinity {
      attribute = "${node.class}"
      value     = "highmem"
      weight    = 75
    }

    constraint {
      operator = "distinct_hosts"
      value    = "true"
    }

    constraint {
      operator  = "distinct_property"
      attribute = "${meta.rack}"
      value     = "3"
    }

    network {
      mbits = 10
      port "db" {}
    }

    task "redis" {
      driver = "docker"
      config {
        image   = "redis:7"
        ports   = ["db"]
        sysctl  = { "net.core.somaxconn" = "16384" }
        ulimit { nofile = "2048:4096" }
        cap_add = ["net_bind_service"]
      }
      resources {
        cpu    = 500
        memory = 256
        device "nvidia/gpu" {
          count = 2
          constraint {
            attribute = "${device.attr.memory}"
            operator  = ">="
            value     = "8 GiB"
          }
          affinity {
            attribute = "${device.model}"
            value     = "Tesla H100"
            weight    = 50
          }
        }
      }
    }
  }
}
