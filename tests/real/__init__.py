"""The life of a deployment on a real cluster, the one that KUBECONFIG names: `make e2e`."""
