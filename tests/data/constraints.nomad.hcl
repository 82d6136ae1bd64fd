job "compiler" {
  datacenters = ["dc1"]
  type        = "batch"

  constraint {
    attribute = "${attr.kernel.name}"
    value     = "linux"
  }

  constraint {
    attribute = "${attr.kernel.version}"
    operator  = "version"
    value     = ">= 5.10, < 7"
  }

  constraint {
    attribute = "${attr.nomad.version}"
    semver    = ">= 1.8.0"
  }

  constraint {
    attribute = "${meta.builder}"
    operator  = "is_set"
  }

  parameterized {
    payload       = "required"
    meta_required = ["repository"]
    meta_optional = ["branch", "target"]
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
      size = 4096
    }

    task "compile" {
      driver = "raw_exec"

      constraint {
        attribute = "${attr.driver.raw_exec}"
        operator  = "="
        value     = "1"
      }

      config {
        command = "make"
        args    = ["-j", "${attr.cpu.numcores}"]
      }

      dispatch_payload {
        file = "build.json"
      }

      meta {
        cache = "on"
      }

      action "clean" {
        command = "/bin/rm"
        args    = ["-rf", "local/out"]
      }

      template {
        data        = "started {{ timestamp }}"
        destination = "local/started"
        change_mode = "script"
        change_script {
          command       = "/bin/true"
          fail_on_error = true
          timeout       = "10s"
        }
      }

      resources {
        cpu    = 4000
        memory = 2048
      }
    }
  }
}
