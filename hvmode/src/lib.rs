//! Partitions, resource hand-over and the first-party guest hypervisors will live here.
