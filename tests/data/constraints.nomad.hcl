# A build that only certain machines can do: by kernel, by version, by what their owner says of them.
job "compiler" {
  datacenters = ["dc1"]
  type        = "batch"

  constraint {
    attribute = "${attr.kernel.name}"
    value     = "linux"
  }

  constraint {
    attribute = "${attr.kernel.version}"
    operator  = "semver"
    value     = ">= 5.10.0, < 9.0.0"
  }

  constraint {
    attribute = "${attr.nomad.version}"
    version   = ">= 1.8"
  }

  constraint {
    attribute = "${meta.builder}"
    operator  = "is_set"
  }

  group "build" {
    constraint {
      attribute = "${attr.cpu.arch}"
      regexp    = "^(amd64|arm64)$"
    }

    constraint {
      distinct_hosts = true
    }

    constraint {
      distinct_property = "${node.datacenter}"
      value             = "2"
    }

    affinity {
      attribute = "${attr.os.version}"
      version   = "> 12"
      weight    = -25
    }

    ephemeral_disk {
      size = 512
    }

    task "compile" {
      driver = "raw_exec"

      constraint {
        attribute = "${attr.driver.raw_exec}"
        operator  = "="
        value     = "1"
      }

      config {
        command = "/bin/sh"
        args    = ["-e", "local/build.sh", "${attr.cpu.numcores}"]
      }

      meta {
        cache  = "on"
        target = "${attr.kernel.name}-${attr.cpu.arch}"
      }

      template {
        destination = "local/build.sh"
        perms       = "0755"
        data        = <<-EOT
          # made for {{ env "NOMAD_TASK_NAME" }} of {{ env "NOMAD_JOB_NAME" }}
          echo "building for $NOMAD_META_TARGET with $1 jobs on {{ env "meta.builder" }}"
          echo done > "$NOMAD_ALLOC_DIR/data/result"
        EOT
        change_mode = "script"
        change_script {
          command       = "/bin/true"
          fail_on_error = true
          timeout       = "10s"
        }
      }

      resources {
        cpu    = 400
        memory = 256
      }
    }
  }
}
