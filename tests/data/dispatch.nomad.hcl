# Built on demand: started with a payload by `job dispatch`, once per request.
job "on-demand-build" {
  datacenters = ["dc1"]
  type        = "batch"

  parameterized {
    payload       = "required"
    meta_required = ["repository"]
    meta_optional = ["branch", "target"]
  }

  group "build" {
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
