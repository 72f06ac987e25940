// Volcano 1.15.1 needs this one name of its API module, which came with version 1.15.0 of that module. The proxy that we
// build from has 1.14.0 and no newer one, so scripts/bring-cluster adds this file to a copy of that.

package v1beta1

// QueueAllocationGateKey is the scheduling gate, and the annotation that asks for it, of a pod that waits for its queue.
const QueueAllocationGateKey = GroupName + "/queue-allocation-gate"
