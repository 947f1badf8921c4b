"""The local stack: template.yaml and its handlers, running without Docker, AWS or Zoho (docs/design.md).

Layers, from top to bottom; each imports only from those below it:

    __main__                 the command line
    commands, logs, demo     up, invoke, token; the logs for people; the guided demo
    stack, state             everything started in order; the file that other programs find it by
    edge, triggers           the HTTP API and the control API; queues and schedules
    monitoring               metrics for CloudWatch, and the alarms that change
    runtime                  functions under AWS's runtime client, recursive loops, log files
    cloudformation           from template.yaml to resources in moto
    host                     child processes, loopback servers, moto's process and its clients: events,
                             alarms and late reads as on AWS
"""
