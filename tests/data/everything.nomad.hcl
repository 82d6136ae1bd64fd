# Every block and key of the job language, each with a value of its own, so that a key that lands in the wrong place
# shows. Not a job that could run: the values only have the right types.
job "everything" {
  region      = "region-11"
  namespace   = "namespace-12"
  id          = "id-13"
  name        = "name-14"
  type        = "type-15"
  priority    = 16
  all_at_once = true
  datacenters = ["datacenters-17", "datacenters-18"]
  node_pool   = "node_pool-19"
  meta {
    key20 = "value-21"
  }
  constraint {
    attribute = "attribute-22"
    value     = "value-23"
    operator  = "operator-24"
  }
  affinity {
    attribute = "attribute-25"
    value     = "value-26"
    operator  = "operator-27"
    weight    = 29
  }
  spread {
    attribute = "attribute-30"
    weight    = 32
    target "target-33" {
      percent = 35
    }
  }
  update {
    stagger           = "36s"
    max_parallel      = 37
    health_check      = "health_check-38"
    min_healthy_time  = "39s"
    healthy_deadline  = "40s"
    progress_deadline = "41s"
    auto_revert       = true
    auto_promote      = true
    canary            = 42
  }
  migrate {
    max_parallel     = 43
    health_check     = "health_check-44"
    min_healthy_time = "45s"
    healthy_deadline = "46s"
  }
  reschedule {
    attempts       = 47
    interval       = "48s"
    delay          = "49s"
    delay_function = "delay_function-50"
    max_delay      = "51s"
    unlimited      = true
  }
  periodic {
    enabled          = true
    cron             = "cron-52"
    crons            = ["crons-53", "crons-54"]
    prohibit_overlap = true
    time_zone        = "time_zone-55"
  }
  parameterized {
    payload       = "payload-56"
    meta_required = ["meta_required-57", "meta_required-58"]
    meta_optional = ["meta_optional-59", "meta_optional-60"]
  }
  multiregion {
    strategy {
      max_parallel = 61
      on_failure   = "on_failure-62"
    }
    region "region-63" {
      count       = 64
      datacenters = ["datacenters-65", "datacenters-66"]
      node_pool   = "node_pool-67"
      meta {
        key68 = "value-69"
      }
    }
  }
  ui {
    description = "description-70"
    link {
      label = "label-71"
      url   = "url-72"
    }
  }
  vault {
    role                   = "role-73"
    policies               = ["policies-74", "policies-75"]
    namespace              = "namespace-76"
    cluster                = "cluster-77"
    env                    = true
    disable_file           = true
    change_mode            = "change_mode-78"
    change_signal          = "change_signal-79"
    allow_token_expiration = true
  }
  secret "secret-80" {
    provider = "provider-81"
    path     = "path-82"
    config {
      key83 = ["value-84", 85, true, null]
      nested {
        fraction = 0.5
      }
    }
    env {
      key86 = "value-87"
    }
  }
  task "task-88" {
    driver         = "driver-89"
    user           = "user-90"
    kill_timeout   = "91s"
    kill_signal    = "kill_signal-92"
    kind           = "kind-93"
    leader         = true
    shutdown_delay = "94s"
    config {
      key95 = ["value-96", 97, true, null]
      nested {
        fraction = 0.5
      }
    }
    env {
      key98 = "value-99"
    }
    meta {
      key100 = "value-101"
    }
    resources {
      cpu        = 102
      cores      = 103
      memory     = 104
      memory_max = 105
      secrets    = 106
      disk       = 107
      iops       = 108
      device "vendor/device" {
        count = 110
        constraint {
          attribute = "attribute-111"
          value     = "value-112"
          operator  = "operator-113"
        }
        affinity {
          attribute = "attribute-114"
          value     = "value-115"
          operator  = "operator-116"
          weight    = 18
        }
      }
      network {
        mode     = "mode-119"
        hostname = "hostname-120"
        device   = "device-121"
        cidr     = "cidr-122"
        ip       = "ip-123"
        mbits    = 124
        port "port-125" {
          static           = 20127
          to               = 128
          host_network     = "host_network-129"
          ignore_collision = true
        }
        dns {
          servers  = ["servers-130", "servers-131"]
          searches = ["searches-132", "searches-133"]
          options  = ["options-134", "options-135"]
        }
        cni {
          args = { key136 = "value-137" }
        }
      }
      numa {
        affinity = "affinity-138"
        devices  = ["devices-139", "devices-140"]
      }
    }
    restart {
      attempts         = 141
      interval         = "142s"
      delay            = "143s"
      mode             = "mode-144"
      render_templates = true
    }
    lifecycle {
      hook    = "hook-145"
      sidecar = true
    }
    logs {
      max_files     = 146
      max_file_size = 147
      disabled      = true
    }
    artifact {
      source      = "source-148"
      destination = "destination-149"
      mode        = "mode-150"
      insecure    = true
      chown       = true
      options {
        key151 = "value-152"
      }
      headers {
        key153 = "value-154"
      }
    }
    template {
      data                 = "data-155"
      source               = "source-156"
      destination          = "destination-157"
      change_mode          = "change_mode-158"
      change_signal        = "change_signal-159"
      splay                = "160s"
      perms                = "perms-161"
      uid                  = 162
      gid                  = 163
      left_delimiter       = "left_delimiter-164"
      right_delimiter      = "right_delimiter-165"
      env                  = true
      once                 = true
      error_on_missing_key = true
      vault_grace          = "166s"
      change_script {
        command             = "command-167"
        args                = ["args-168", "args-169"]
        timeout             = "170s"
        fail_on_error       = true
        run_on_first_render = true
      }
      wait {
        min = "171s"
        max = "172s"
      }
    }
    dispatch_payload {
      file = "file-173"
    }
    volume_mount {
      volume           = "volume-174"
      destination      = "destination-175"
      read_only        = true
      propagation_mode = "propagation_mode-176"
      selinux_label    = "selinux_label-177"
    }
    csi_plugin {
      id                     = "id-178"
      type                   = "type-179"
      mount_dir              = "mount_dir-180"
      stage_publish_base_dir = "stage_publish_base_dir-181"
      health_timeout         = "182s"
    }
    identity {
      name          = "name-183"
      aud           = ["aud-184", "aud-185"]
      env           = true
      file          = true
      filepath      = "filepath-186"
      change_mode   = "change_mode-187"
      change_signal = "change_signal-188"
      ttl           = "189s"
      service_name  = "service_name-190"
      extra_claims  = ["extra_claims-191", "extra_claims-192"]
    }
    action "action-193" {
      command = "command-194"
      args    = ["args-195", "args-196"]
    }
    schedule {
      cron {
        start    = "start-197"
        end      = "end-198"
        timezone = "timezone-199"
      }
    }
    secret "secret-200" {
      provider = "provider-201"
      path     = "path-202"
      config {
        key203 = ["value-204", 205, true, null]
        nested {
          fraction = 0.5
        }
      }
      env {
        key206 = "value-207"
      }
    }
    vault {
      role                   = "role-208"
      policies               = ["policies-209", "policies-210"]
      namespace              = "namespace-211"
      cluster                = "cluster-212"
      env                    = true
      disable_file           = true
      change_mode            = "change_mode-213"
      change_signal          = "change_signal-214"
      allow_token_expiration = true
    }
    consul {
      cluster   = "cluster-215"
      namespace = "namespace-216"
      partition = "partition-217"
    }
    constraint {
      attribute = "attribute-218"
      value     = "value-219"
      operator  = "operator-220"
    }
    affinity {
      attribute = "attribute-221"
      value     = "value-222"
      operator  = "operator-223"
      weight    = 25
    }
    service {
      name                = "name-226"
      provider            = "provider-227"
      port                = "port-228"
      tags                = ["tags-229", "tags-230"]
      canary_tags         = ["canary_tags-231", "canary_tags-232"]
      address_mode        = "address_mode-233"
      address             = "address-234"
      enable_tag_override = true
      on_update           = "on_update-235"
      task                = "task-236"
      cluster             = "cluster-237"
      kind                = "kind-238"
      meta {
        key239 = "value-240"
      }
      canary_meta {
        key241 = "value-242"
      }
      tagged_addresses {
        key243 = "value-244"
      }
      identity {
        name          = "name-245"
        aud           = ["aud-246", "aud-247"]
        env           = true
        file          = true
        filepath      = "filepath-248"
        change_mode   = "change_mode-249"
        change_signal = "change_signal-250"
        ttl           = "251s"
        service_name  = "service_name-252"
        extra_claims  = ["extra_claims-253", "extra_claims-254"]
      }
      weights {
        passing = 255
        warning = 256
      }
      check {
        type                     = "type-257"
        name                     = "name-258"
        path                     = "path-259"
        method                   = "method-260"
        body                     = "body-261"
        protocol                 = "protocol-262"
        port                     = "port-263"
        address_mode             = "address_mode-264"
        interval                 = "265s"
        timeout                  = "266s"
        initial_status           = "initial_status-267"
        success_before_passing   = 268
        failures_before_critical = 269
        failures_before_warning  = 270
        on_update                = "on_update-271"
        expose                   = true
        command                  = "command-272"
        args                     = ["args-273", "args-274"]
        task                     = "task-275"
        grpc_service             = "grpc_service-276"
        grpc_use_tls             = true
        tls_server_name          = "tls_server_name-277"
        tls_skip_verify          = true
        notes                    = "notes-278"
        advertise                = "advertise-279"
        header {
          key280 = ["value-281"]
        }
        check_restart {
          limit           = 282
          grace           = "283s"
          ignore_warnings = true
        }
      }
      check_restart {
        limit           = 284
        grace           = "285s"
        ignore_warnings = true
      }
      connect {
        native = true
        sidecar_service {
          tags                      = ["tags-286", "tags-287"]
          port                      = "port-288"
          disable_default_tcp_check = true
          meta {
            key289 = "value-290"
          }
          proxy {
            local_service_address = "local_service_address-291"
            local_service_port    = 292
            upstreams {
              destination_name       = "destination_name-293"
              local_bind_port        = 294
              local_bind_address     = "local_bind_address-295"
              local_bind_socket_path = "local_bind_socket_path-296"
              local_bind_socket_mode = "local_bind_socket_mode-297"
              destination_namespace  = "destination_namespace-298"
              destination_partition  = "destination_partition-299"
              destination_peer       = "destination_peer-300"
              destination_type       = "destination_type-301"
              datacenter             = "datacenter-302"
              mesh_gateway {
                mode = "mode-303"
              }
              config {
                key304 = ["value-305", 306, true, null]
                nested {
                  fraction = 0.5
                }
              }
            }
            expose {
              path {
                path            = "path-307"
                protocol        = "protocol-308"
                local_path_port = 309
                listener_port   = "listener_port-310"
              }
            }
            transparent_proxy {
              uid                    = "uid-311"
              outbound_port          = 312
              exclude_inbound_ports  = ["exclude_inbound_ports-313", "exclude_inbound_ports-314"]
              exclude_outbound_ports = [315, 316]
              exclude_outbound_cidrs = ["exclude_outbound_cidrs-317", "exclude_outbound_cidrs-318"]
              exclude_uids           = ["exclude_uids-319", "exclude_uids-320"]
              no_dns                 = true
            }
            config {
              key321 = ["value-322", 323, true, null]
              nested {
                fraction = 0.5
              }
            }
          }
        }
        sidecar_task {
          name           = "name-324"
          driver         = "driver-325"
          user           = "user-326"
          kill_timeout   = "327s"
          kill_signal    = "kill_signal-328"
          shutdown_delay = "329s"
          config {
            key330 = ["value-331", 332, true, null]
            nested {
              fraction = 0.5
            }
          }
          env {
            key333 = "value-334"
          }
          resources {
            cpu        = 335
            cores      = 336
            memory     = 337
            memory_max = 338
            secrets    = 339
            disk       = 340
            iops       = 341
            device "vendor/device" {
              count = 343
              constraint {
                attribute = "attribute-344"
                value     = "value-345"
                operator  = "operator-346"
              }
              affinity {
                attribute = "attribute-347"
                value     = "value-348"
                operator  = "operator-349"
                weight    = 51
              }
            }
            network {
              mode     = "mode-352"
              hostname = "hostname-353"
              device   = "device-354"
              cidr     = "cidr-355"
              ip       = "ip-356"
              mbits    = 357
              port "port-358" {
                static           = 20360
                to               = 361
                host_network     = "host_network-362"
                ignore_collision = true
              }
              dns {
                servers  = ["servers-363", "servers-364"]
                searches = ["searches-365", "searches-366"]
                options  = ["options-367", "options-368"]
              }
              cni {
                args = { key369 = "value-370" }
              }
            }
            numa {
              affinity = "affinity-371"
              devices  = ["devices-372", "devices-373"]
            }
          }
          meta {
            key374 = "value-375"
          }
          logs {
            max_files     = 376
            max_file_size = 377
            disabled      = true
          }
          volume_mount {
            volume           = "volume-378"
            destination      = "destination-379"
            read_only        = true
            propagation_mode = "propagation_mode-380"
            selinux_label    = "selinux_label-381"
          }
          identity {
            name          = "name-382"
            aud           = ["aud-383", "aud-384"]
            env           = true
            file          = true
            filepath      = "filepath-385"
            change_mode   = "change_mode-386"
            change_signal = "change_signal-387"
            ttl           = "388s"
            service_name  = "service_name-389"
            extra_claims  = ["extra_claims-390", "extra_claims-391"]
          }
        }
        gateway {
          proxy {
            connect_timeout                     = "392s"
            envoy_gateway_bind_tagged_addresses = true
            envoy_gateway_no_default_bind       = true
            envoy_dns_discovery_type            = "envoy_dns_discovery_type-393"
            envoy_gateway_bind_addresses "envoy_gateway_bind_addresses-394" {
              address = "address-395"
              port    = 396
            }
            config {
              key397 = ["value-398", 399, true, null]
              nested {
                fraction = 0.5
              }
            }
          }
          ingress {
            tls {
              enabled         = true
              tls_min_version = "tls_min_version-400"
              tls_max_version = "tls_max_version-401"
              cipher_suites   = ["cipher_suites-402", "cipher_suites-403"]
              sds {
                cluster_name  = "cluster_name-404"
                cert_resource = "cert_resource-405"
              }
            }
            listener {
              port     = 406
              protocol = "protocol-407"
              service {
                name                    = "name-408"
                hosts                   = ["hosts-409", "hosts-410"]
                max_connections         = 411
                max_pending_requests    = 412
                max_concurrent_requests = 413
                tls {
                  enabled         = true
                  tls_min_version = "tls_min_version-414"
                  tls_max_version = "tls_max_version-415"
                  cipher_suites   = ["cipher_suites-416", "cipher_suites-417"]
                  sds {
                    cluster_name  = "cluster_name-418"
                    cert_resource = "cert_resource-419"
                  }
                }
                request_headers {
                  remove = ["remove-420", "remove-421"]
                  add {
                    key422 = "value-423"
                  }
                  set {
                    key424 = "value-425"
                  }
                }
                response_headers {
                  remove = ["remove-426", "remove-427"]
                  add {
                    key428 = "value-429"
                  }
                  set {
                    key430 = "value-431"
                  }
                }
              }
            }
          }
          terminating {
            service {
              name      = "name-432"
              ca_file   = "ca_file-433"
              cert_file = "cert_file-434"
              key_file  = "key_file-435"
              sni       = "sni-436"
            }
          }
          mesh {}
        }
      }
    }
    scaling "mem" {
      enabled = true
      min     = 438
      max     = 439
      policy {
        key441 = ["value-442", 443, true, null]
        nested {
          fraction = 0.5
        }
      }
    }
  }
  group "group-444" {
    count                        = 445
    max_run_duration             = "446s"
    max_client_disconnect        = "447s"
    prevent_reschedule_on_lost   = true
    shutdown_delay               = "448s"
    stop_after_client_disconnect = "449s"
    constraint {
      attribute = "attribute-450"
      value     = "value-451"
      operator  = "operator-452"
    }
    affinity {
      attribute = "attribute-453"
      value     = "value-454"
      operator  = "operator-455"
      weight    = 57
    }
    spread {
      attribute = "attribute-458"
      weight    = 60
      target "target-461" {
        percent = 63
      }
    }
    consul {
      cluster   = "cluster-464"
      namespace = "namespace-465"
      partition = "partition-466"
    }
    disconnect {
      lost_after           = "467s"
      stop_on_client_after = "468s"
      replace              = true
      reconcile            = "reconcile-469"
    }
    ephemeral_disk {
      sticky  = true
      migrate = true
      size    = 470
    }
    meta {
      key471 = "value-472"
    }
    migrate {
      max_parallel     = 473
      health_check     = "health_check-474"
      min_healthy_time = "475s"
      healthy_deadline = "476s"
    }
    network {
      mode     = "mode-477"
      hostname = "hostname-478"
      device   = "device-479"
      cidr     = "cidr-480"
      ip       = "ip-481"
      mbits    = 482
      port "port-483" {
        static           = 20485
        to               = 486
        host_network     = "host_network-487"
        ignore_collision = true
      }
      dns {
        servers  = ["servers-488", "servers-489"]
        searches = ["searches-490", "searches-491"]
        options  = ["options-492", "options-493"]
      }
      cni {
        args = { key494 = "value-495" }
      }
    }
    reschedule {
      attempts       = 496
      interval       = "497s"
      delay          = "498s"
      delay_function = "delay_function-499"
      max_delay      = "500s"
      unlimited      = true
    }
    restart {
      attempts         = 501
      interval         = "502s"
      delay            = "503s"
      mode             = "mode-504"
      render_templates = true
    }
    scaling {
      enabled = true
      min     = 505
      max     = 506
      type    = "horizontal"
      policy {
        key508 = ["value-509", 510, true, null]
        nested {
          fraction = 0.5
        }
      }
    }
    service {
      name                = "name-511"
      provider            = "provider-512"
      port                = "port-513"
      tags                = ["tags-514", "tags-515"]
      canary_tags         = ["canary_tags-516", "canary_tags-517"]
      address_mode        = "address_mode-518"
      address             = "address-519"
      enable_tag_override = true
      on_update           = "on_update-520"
      task                = "task-521"
      cluster             = "cluster-522"
      kind                = "kind-523"
      meta {
        key524 = "value-525"
      }
      canary_meta {
        key526 = "value-527"
      }
      tagged_addresses {
        key528 = "value-529"
      }
      identity {
        name          = "name-530"
        aud           = ["aud-531", "aud-532"]
        env           = true
        file          = true
        filepath      = "filepath-533"
        change_mode   = "change_mode-534"
        change_signal = "change_signal-535"
        ttl           = "536s"
        service_name  = "service_name-537"
        extra_claims  = ["extra_claims-538", "extra_claims-539"]
      }
      weights {
        passing = 540
        warning = 541
      }
      check {
        type                     = "type-542"
        name                     = "name-543"
        path                     = "path-544"
        method                   = "method-545"
        body                     = "body-546"
        protocol                 = "protocol-547"
        port                     = "port-548"
        address_mode             = "address_mode-549"
        interval                 = "550s"
        timeout                  = "551s"
        initial_status           = "initial_status-552"
        success_before_passing   = 553
        failures_before_critical = 554
        failures_before_warning  = 555
        on_update                = "on_update-556"
        expose                   = true
        command                  = "command-557"
        args                     = ["args-558", "args-559"]
        task                     = "task-560"
        grpc_service             = "grpc_service-561"
        grpc_use_tls             = true
        tls_server_name          = "tls_server_name-562"
        tls_skip_verify          = true
        notes                    = "notes-563"
        advertise                = "advertise-564"
        header {
          key565 = ["value-566"]
        }
        check_restart {
          limit           = 567
          grace           = "568s"
          ignore_warnings = true
        }
      }
      check_restart {
        limit           = 569
        grace           = "570s"
        ignore_warnings = true
      }
      connect {
        native = true
        sidecar_service {
          tags                      = ["tags-571", "tags-572"]
          port                      = "port-573"
          disable_default_tcp_check = true
          meta {
            key574 = "value-575"
          }
          proxy {
            local_service_address = "local_service_address-576"
            local_service_port    = 577
            upstreams {
              destination_name       = "destination_name-578"
              local_bind_port        = 579
              local_bind_address     = "local_bind_address-580"
              local_bind_socket_path = "local_bind_socket_path-581"
              local_bind_socket_mode = "local_bind_socket_mode-582"
              destination_namespace  = "destination_namespace-583"
              destination_partition  = "destination_partition-584"
              destination_peer       = "destination_peer-585"
              destination_type       = "destination_type-586"
              datacenter             = "datacenter-587"
              mesh_gateway {
                mode = "mode-588"
              }
              config {
                key589 = ["value-590", 591, true, null]
                nested {
                  fraction = 0.5
                }
              }
            }
            expose {
              path {
                path            = "path-592"
                protocol        = "protocol-593"
                local_path_port = 594
                listener_port   = "listener_port-595"
              }
            }
            transparent_proxy {
              uid                    = "uid-596"
              outbound_port          = 597
              exclude_inbound_ports  = ["exclude_inbound_ports-598", "exclude_inbound_ports-599"]
              exclude_outbound_ports = [600, 601]
              exclude_outbound_cidrs = ["exclude_outbound_cidrs-602", "exclude_outbound_cidrs-603"]
              exclude_uids           = ["exclude_uids-604", "exclude_uids-605"]
              no_dns                 = true
            }
            config {
              key606 = ["value-607", 608, true, null]
              nested {
                fraction = 0.5
              }
            }
          }
        }
        sidecar_task {
          name           = "name-609"
          driver         = "driver-610"
          user           = "user-611"
          kill_timeout   = "612s"
          kill_signal    = "kill_signal-613"
          shutdown_delay = "614s"
          config {
            key615 = ["value-616", 617, true, null]
            nested {
              fraction = 0.5
            }
          }
          env {
            key618 = "value-619"
          }
          resources {
            cpu        = 620
            cores      = 621
            memory     = 622
            memory_max = 623
            secrets    = 624
            disk       = 625
            iops       = 626
            device "vendor/device" {
              count = 628
              constraint {
                attribute = "attribute-629"
                value     = "value-630"
                operator  = "operator-631"
              }
              affinity {
                attribute = "attribute-632"
                value     = "value-633"
                operator  = "operator-634"
                weight    = 36
              }
            }
            network {
              mode     = "mode-637"
              hostname = "hostname-638"
              device   = "device-639"
              cidr     = "cidr-640"
              ip       = "ip-641"
              mbits    = 642
              port "port-643" {
                static           = 20645
                to               = 646
                host_network     = "host_network-647"
                ignore_collision = true
              }
              dns {
                servers  = ["servers-648", "servers-649"]
                searches = ["searches-650", "searches-651"]
                options  = ["options-652", "options-653"]
              }
              cni {
                args = { key654 = "value-655" }
              }
            }
            numa {
              affinity = "affinity-656"
              devices  = ["devices-657", "devices-658"]
            }
          }
          meta {
            key659 = "value-660"
          }
          logs {
            max_files     = 661
            max_file_size = 662
            disabled      = true
          }
          volume_mount {
            volume           = "volume-663"
            destination      = "destination-664"
            read_only        = true
            propagation_mode = "propagation_mode-665"
            selinux_label    = "selinux_label-666"
          }
          identity {
            name          = "name-667"
            aud           = ["aud-668", "aud-669"]
            env           = true
            file          = true
            filepath      = "filepath-670"
            change_mode   = "change_mode-671"
            change_signal = "change_signal-672"
            ttl           = "673s"
            service_name  = "service_name-674"
            extra_claims  = ["extra_claims-675", "extra_claims-676"]
          }
        }
        gateway {
          proxy {
            connect_timeout                     = "677s"
            envoy_gateway_bind_tagged_addresses = true
            envoy_gateway_no_default_bind       = true
            envoy_dns_discovery_type            = "envoy_dns_discovery_type-678"
            envoy_gateway_bind_addresses "envoy_gateway_bind_addresses-679" {
              address = "address-680"
              port    = 681
            }
            config {
              key682 = ["value-683", 684, true, null]
              nested {
                fraction = 0.5
              }
            }
          }
          ingress {
            tls {
              enabled         = true
              tls_min_version = "tls_min_version-685"
              tls_max_version = "tls_max_version-686"
              cipher_suites   = ["cipher_suites-687", "cipher_suites-688"]
              sds {
                cluster_name  = "cluster_name-689"
                cert_resource = "cert_resource-690"
              }
            }
            listener {
              port     = 691
              protocol = "protocol-692"
              service {
                name                    = "name-693"
                hosts                   = ["hosts-694", "hosts-695"]
                max_connections         = 696
                max_pending_requests    = 697
                max_concurrent_requests = 698
                tls {
                  enabled         = true
                  tls_min_version = "tls_min_version-699"
                  tls_max_version = "tls_max_version-700"
                  cipher_suites   = ["cipher_suites-701", "cipher_suites-702"]
                  sds {
                    cluster_name  = "cluster_name-703"
                    cert_resource = "cert_resource-704"
                  }
                }
                request_headers {
                  remove = ["remove-705", "remove-706"]
                  add {
                    key707 = "value-708"
                  }
                  set {
                    key709 = "value-710"
                  }
                }
                response_headers {
                  remove = ["remove-711", "remove-712"]
                  add {
                    key713 = "value-714"
                  }
                  set {
                    key715 = "value-716"
                  }
                }
              }
            }
          }
          terminating {
            service {
              name      = "name-717"
              ca_file   = "ca_file-718"
              cert_file = "cert_file-719"
              key_file  = "key_file-720"
              sni       = "sni-721"
            }
          }
          mesh {}
        }
      }
    }
    task "task-722" {
      driver         = "driver-723"
      user           = "user-724"
      kill_timeout   = "725s"
      kill_signal    = "kill_signal-726"
      kind           = "kind-727"
      leader         = true
      shutdown_delay = "728s"
      config {
        key729 = ["value-730", 731, true, null]
        nested {
          fraction = 0.5
        }
      }
      env {
        key732 = "value-733"
      }
      meta {
        key734 = "value-735"
      }
      resources {
        cpu        = 736
        cores      = 737
        memory     = 738
        memory_max = 739
        secrets    = 740
        disk       = 741
        iops       = 742
        device "vendor/device" {
          count = 744
          constraint {
            attribute = "attribute-745"
            value     = "value-746"
            operator  = "operator-747"
          }
          affinity {
            attribute = "attribute-748"
            value     = "value-749"
            operator  = "operator-750"
            weight    = 52
          }
        }
        network {
          mode     = "mode-753"
          hostname = "hostname-754"
          device   = "device-755"
          cidr     = "cidr-756"
          ip       = "ip-757"
          mbits    = 758
          port "port-759" {
            static           = 20761
            to               = 762
            host_network     = "host_network-763"
            ignore_collision = true
          }
          dns {
            servers  = ["servers-764", "servers-765"]
            searches = ["searches-766", "searches-767"]
            options  = ["options-768", "options-769"]
          }
          cni {
            args = { key770 = "value-771" }
          }
        }
        numa {
          affinity = "affinity-772"
          devices  = ["devices-773", "devices-774"]
        }
      }
      restart {
        attempts         = 775
        interval         = "776s"
        delay            = "777s"
        mode             = "mode-778"
        render_templates = true
      }
      lifecycle {
        hook    = "hook-779"
        sidecar = true
      }
      logs {
        max_files     = 780
        max_file_size = 781
        disabled      = true
      }
      artifact {
        source      = "source-782"
        destination = "destination-783"
        mode        = "mode-784"
        insecure    = true
        chown       = true
        options {
          key785 = "value-786"
        }
        headers {
          key787 = "value-788"
        }
      }
      template {
        data                 = "data-789"
        source               = "source-790"
        destination          = "destination-791"
        change_mode          = "change_mode-792"
        change_signal        = "change_signal-793"
        splay                = "794s"
        perms                = "perms-795"
        uid                  = 796
        gid                  = 797
        left_delimiter       = "left_delimiter-798"
        right_delimiter      = "right_delimiter-799"
        env                  = true
        once                 = true
        error_on_missing_key = true
        vault_grace          = "800s"
        change_script {
          command             = "command-801"
          args                = ["args-802", "args-803"]
          timeout             = "804s"
          fail_on_error       = true
          run_on_first_render = true
        }
        wait {
          min = "805s"
          max = "806s"
        }
      }
      dispatch_payload {
        file = "file-807"
      }
      volume_mount {
        volume           = "volume-808"
        destination      = "destination-809"
        read_only        = true
        propagation_mode = "propagation_mode-810"
        selinux_label    = "selinux_label-811"
      }
      csi_plugin {
        id                     = "id-812"
        type                   = "type-813"
        mount_dir              = "mount_dir-814"
        stage_publish_base_dir = "stage_publish_base_dir-815"
        health_timeout         = "816s"
      }
      identity {
        name          = "name-817"
        aud           = ["aud-818", "aud-819"]
        env           = true
        file          = true
        filepath      = "filepath-820"
        change_mode   = "change_mode-821"
        change_signal = "change_signal-822"
        ttl           = "823s"
        service_name  = "service_name-824"
        extra_claims  = ["extra_claims-825", "extra_claims-826"]
      }
      action "action-827" {
        command = "command-828"
        args    = ["args-829", "args-830"]
      }
      schedule {
        cron {
          start    = "start-831"
          end      = "end-832"
          timezone = "timezone-833"
        }
      }
      secret "secret-834" {
        provider = "provider-835"
        path     = "path-836"
        config {
          key837 = ["value-838", 839, true, null]
          nested {
            fraction = 0.5
          }
        }
        env {
          key840 = "value-841"
        }
      }
      vault {
        role                   = "role-842"
        policies               = ["policies-843", "policies-844"]
        namespace              = "namespace-845"
        cluster                = "cluster-846"
        env                    = true
        disable_file           = true
        change_mode            = "change_mode-847"
        change_signal          = "change_signal-848"
        allow_token_expiration = true
      }
      consul {
        cluster   = "cluster-849"
        namespace = "namespace-850"
        partition = "partition-851"
      }
      constraint {
        attribute = "attribute-852"
        value     = "value-853"
        operator  = "operator-854"
      }
      affinity {
        attribute = "attribute-855"
        value     = "value-856"
        operator  = "operator-857"
        weight    = 59
      }
      service {
        name                = "name-860"
        provider            = "provider-861"
        port                = "port-862"
        tags                = ["tags-863", "tags-864"]
        canary_tags         = ["canary_tags-865", "canary_tags-866"]
        address_mode        = "address_mode-867"
        address             = "address-868"
        enable_tag_override = true
        on_update           = "on_update-869"
        task                = "task-870"
        cluster             = "cluster-871"
        kind                = "kind-872"
        meta {
          key873 = "value-874"
        }
        canary_meta {
          key875 = "value-876"
        }
        tagged_addresses {
          key877 = "value-878"
        }
        identity {
          name          = "name-879"
          aud           = ["aud-880", "aud-881"]
          env           = true
          file          = true
          filepath      = "filepath-882"
          change_mode   = "change_mode-883"
          change_signal = "change_signal-884"
          ttl           = "885s"
          service_name  = "service_name-886"
          extra_claims  = ["extra_claims-887", "extra_claims-888"]
        }
        weights {
          passing = 889
          warning = 890
        }
        check {
          type                     = "type-891"
          name                     = "name-892"
          path                     = "path-893"
          method                   = "method-894"
          body                     = "body-895"
          protocol                 = "protocol-896"
          port                     = "port-897"
          address_mode             = "address_mode-898"
          interval                 = "899s"
          timeout                  = "900s"
          initial_status           = "initial_status-901"
          success_before_passing   = 902
          failures_before_critical = 903
          failures_before_warning  = 904
          on_update                = "on_update-905"
          expose                   = true
          command                  = "command-906"
          args                     = ["args-907", "args-908"]
          task                     = "task-909"
          grpc_service             = "grpc_service-910"
          grpc_use_tls             = true
          tls_server_name          = "tls_server_name-911"
          tls_skip_verify          = true
          notes                    = "notes-912"
          advertise                = "advertise-913"
          header {
            key914 = ["value-915"]
          }
          check_restart {
            limit           = 916
            grace           = "917s"
            ignore_warnings = true
          }
        }
        check_restart {
          limit           = 918
          grace           = "919s"
          ignore_warnings = true
        }
        connect {
          native = true
          sidecar_service {
            tags                      = ["tags-920", "tags-921"]
            port                      = "port-922"
            disable_default_tcp_check = true
            meta {
              key923 = "value-924"
            }
            proxy {
              local_service_address = "local_service_address-925"
              local_service_port    = 926
              upstreams {
                destination_name       = "destination_name-927"
                local_bind_port        = 928
                local_bind_address     = "local_bind_address-929"
                local_bind_socket_path = "local_bind_socket_path-930"
                local_bind_socket_mode = "local_bind_socket_mode-931"
                destination_namespace  = "destination_namespace-932"
                destination_partition  = "destination_partition-933"
                destination_peer       = "destination_peer-934"
                destination_type       = "destination_type-935"
                datacenter             = "datacenter-936"
                mesh_gateway {
                  mode = "mode-937"
                }
                config {
                  key938 = ["value-939", 940, true, null]
                  nested {
                    fraction = 0.5
                  }
                }
              }
              expose {
                path {
                  path            = "path-941"
                  protocol        = "protocol-942"
                  local_path_port = 943
                  listener_port   = "listener_port-944"
                }
              }
              transparent_proxy {
                uid                    = "uid-945"
                outbound_port          = 946
                exclude_inbound_ports  = ["exclude_inbound_ports-947", "exclude_inbound_ports-948"]
                exclude_outbound_ports = [949, 950]
                exclude_outbound_cidrs = ["exclude_outbound_cidrs-951", "exclude_outbound_cidrs-952"]
                exclude_uids           = ["exclude_uids-953", "exclude_uids-954"]
                no_dns                 = true
              }
              config {
                key955 = ["value-956", 957, true, null]
                nested {
                  fraction = 0.5
                }
              }
            }
          }
          sidecar_task {
            name           = "name-958"
            driver         = "driver-959"
            user           = "user-960"
            kill_timeout   = "961s"
            kill_signal    = "kill_signal-962"
            shutdown_delay = "963s"
            config {
              key964 = ["value-965", 966, true, null]
              nested {
                fraction = 0.5
              }
            }
            env {
              key967 = "value-968"
            }
            resources {
              cpu        = 969
              cores      = 970
              memory     = 971
              memory_max = 972
              secrets    = 973
              disk       = 974
              iops       = 975
              device "vendor/device" {
                count = 977
                constraint {
                  attribute = "attribute-978"
                  value     = "value-979"
                  operator  = "operator-980"
                }
                affinity {
                  attribute = "attribute-981"
                  value     = "value-982"
                  operator  = "operator-983"
                  weight    = 85
                }
              }
              network {
                mode     = "mode-986"
                hostname = "hostname-987"
                device   = "device-988"
                cidr     = "cidr-989"
                ip       = "ip-990"
                mbits    = 991
                port "port-992" {
                  static           = 20994
                  to               = 995
                  host_network     = "host_network-996"
                  ignore_collision = true
                }
                dns {
                  servers  = ["servers-997", "servers-998"]
                  searches = ["searches-999", "searches-1000"]
                  options  = ["options-1001", "options-1002"]
                }
                cni {
                  args = { key1003 = "value-1004" }
                }
              }
              numa {
                affinity = "affinity-1005"
                devices  = ["devices-1006", "devices-1007"]
              }
            }
            meta {
              key1008 = "value-1009"
            }
            logs {
              max_files     = 1010
              max_file_size = 1011
              disabled      = true
            }
            volume_mount {
              volume           = "volume-1012"
              destination      = "destination-1013"
              read_only        = true
              propagation_mode = "propagation_mode-1014"
              selinux_label    = "selinux_label-1015"
            }
            identity {
              name          = "name-1016"
              aud           = ["aud-1017", "aud-1018"]
              env           = true
              file          = true
              filepath      = "filepath-1019"
              change_mode   = "change_mode-1020"
              change_signal = "change_signal-1021"
              ttl           = "1022s"
              service_name  = "service_name-1023"
              extra_claims  = ["extra_claims-1024", "extra_claims-1025"]
            }
          }
          gateway {
            proxy {
              connect_timeout                     = "1026s"
              envoy_gateway_bind_tagged_addresses = true
              envoy_gateway_no_default_bind       = true
              envoy_dns_discovery_type            = "envoy_dns_discovery_type-1027"
              envoy_gateway_bind_addresses "envoy_gateway_bind_addresses-1028" {
                address = "address-1029"
                port    = 1030
              }
              config {
                key1031 = ["value-1032", 1033, true, null]
                nested {
                  fraction = 0.5
                }
              }
            }
            ingress {
              tls {
                enabled         = true
                tls_min_version = "tls_min_version-1034"
                tls_max_version = "tls_max_version-1035"
                cipher_suites   = ["cipher_suites-1036", "cipher_suites-1037"]
                sds {
                  cluster_name  = "cluster_name-1038"
                  cert_resource = "cert_resource-1039"
                }
              }
              listener {
                port     = 1040
                protocol = "protocol-1041"
                service {
                  name                    = "name-1042"
                  hosts                   = ["hosts-1043", "hosts-1044"]
                  max_connections         = 1045
                  max_pending_requests    = 1046
                  max_concurrent_requests = 1047
                  tls {
                    enabled         = true
                    tls_min_version = "tls_min_version-1048"
                    tls_max_version = "tls_max_version-1049"
                    cipher_suites   = ["cipher_suites-1050", "cipher_suites-1051"]
                    sds {
                      cluster_name  = "cluster_name-1052"
                      cert_resource = "cert_resource-1053"
                    }
                  }
                  request_headers {
                    remove = ["remove-1054", "remove-1055"]
                    add {
                      key1056 = "value-1057"
                    }
                    set {
                      key1058 = "value-1059"
                    }
                  }
                  response_headers {
                    remove = ["remove-1060", "remove-1061"]
                    add {
                      key1062 = "value-1063"
                    }
                    set {
                      key1064 = "value-1065"
                    }
                  }
                }
              }
            }
            terminating {
              service {
                name      = "name-1066"
                ca_file   = "ca_file-1067"
                cert_file = "cert_file-1068"
                key_file  = "key_file-1069"
                sni       = "sni-1070"
              }
            }
            mesh {}
          }
        }
      }
      scaling "mem" {
        enabled = true
        min     = 1072
        max     = 1073
        policy {
          key1075 = ["value-1076", 1077, true, null]
          nested {
            fraction = 0.5
          }
        }
      }
    }
    update {
      stagger           = "1078s"
      max_parallel      = 1079
      health_check      = "health_check-1080"
      min_healthy_time  = "1081s"
      healthy_deadline  = "1082s"
      progress_deadline = "1083s"
      auto_revert       = true
      auto_promote      = true
      canary            = 1084
    }
    volume "volume-1085" {
      type            = "type-1086"
      source          = "source-1087"
      read_only       = true
      sticky          = true
      per_alloc       = true
      access_mode     = "access_mode-1088"
      attachment_mode = "attachment_mode-1089"
      mount_options {
        fs_type     = "fs_type-1090"
        mount_flags = ["mount_flags-1091", "mount_flags-1092"]
      }
    }
    vault {
      role                   = "role-1093"
      policies               = ["policies-1094", "policies-1095"]
      namespace              = "namespace-1096"
      cluster                = "cluster-1097"
      env                    = true
      disable_file           = true
      change_mode            = "change_mode-1098"
      change_signal          = "change_signal-1099"
      allow_token_expiration = true
    }
    secret "secret-1100" {
      provider = "provider-1101"
      path     = "path-1102"
      config {
        key1103 = ["value-1104", 1105, true, null]
        nested {
          fraction = 0.5
        }
      }
      env {
        key1106 = "value-1107"
      }
    }
  }
}
