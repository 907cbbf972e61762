"""Order the native tools (Pulumi, Ansible, testinfra), show progress, keep logs; decide nothing else."""
