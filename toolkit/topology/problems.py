"""The catalogue: every problem that tiers.yaml can have, with the reason and the cure.

`findings` makes Problems of its rows, every step of loading adds to them. The page
docs/reference/problems.md is made from CATALOGUE, and every row has a file in tests/invalid that yields it.

E01 reading YAML · E02 shape · E03 values · E04 references · E05 things that do not fit together · E06 names that
Kubernetes would refuse later · E09 what runs beside the models · W07 warnings, which stop nothing.
"""

# ruff: noqa: E501  # one row a line: a table is read by its columns

from dataclasses import dataclass

from toolkit.errors import Severity


@dataclass(frozen=True)
class Row:
    """One kind of problem. `why` says what it would do if it were accepted, `cure` what to type instead."""

    code: str
    title: str
    why: str
    cure: str

    @property
    def severity(self) -> Severity:
        """Warnings have codes that start with W."""
        return Severity.WARNING if self.code.startswith("W") else Severity.ERROR


_ROWS = (
    # ------------------------------------------------------------------ E01 reading YAML
    Row("E0101", "not YAML", "nothing after this place can be read", "look at this line and the one before it: a missing quote, bracket, colon or space"),
    Row("E0102", "a key twice", "only one of the two values would count, and which one depends on the tool", "keep one of them, or give the second another name"),
    Row("E0103", "a tab", "YAML forbids tabs in front of a key, and they are wider in some editors than in others", "replace the tab with spaces"),
    Row("E0104", "a second document", "only the first document would be used", "remove the line '---', or put the second part into its own file and give both: -f tiers.yaml -f site.yaml"),
    Row("E0105", "yes, no, on or off", "the value would change its meaning from tool to tool", "write true or false for a switch; put quotes around it for a word"),
    Row("E0106", "a number to base 60", "12:30 would become 750 in some tools", "put quotes around it"),
    Row("E0107", "a number that tools read differently", "010 is 8 in some tools and 10 in others", "write it in plain decimal digits; put quotes around it when it is a text"),
    Row("E0108", "a date", "some tools would turn it into a date, others leave it a word", "put quotes around it"),
    Row("E0109", "an anchor, an alias or a merge key", "a value would stand far from the place where it is used, and files could not be merged by key", "write the values out; what is the same for all devices of a tier goes into its 'settings'"),
    Row("E0110", "a tag", "tags make other things out of values than what is written", "remove the word with ! in front"),
    Row("E0111", "a key that is no word", "keys name things, and a name must be one word", "write the key as one word, followed by a colon and a space"),
    Row("E0112", "a file that cannot be read", "nothing is known about this site without it", "give a readable text file in UTF-8, or begin with: tiers init"),
    Row("E0113", "an empty file", "there is nothing to do", "begin with: tiers init"),
    Row("E0114", "a variable that is not declared", "a typing mistake would put an empty text into an object", "declare it under 'variables:', or write $${…} when the text is meant for a shell"),
    Row("E0115", "a variable without a value", "the text that needs it cannot be completed", "give it a default under 'variables:', or add --set NAME=VALUE"),
    Row("E0116", "--set names a variable that is not declared", "the value would be used nowhere", "declare it under 'variables:', or correct the name"),
    Row("E0117", "a variable reference that cannot be read", "a half-written reference would stay in the text", "write ${NAME} with letters, digits and _; write $${ for a literal ${"),
    Row("E0118", "an inventory that cannot be read", "the devices of this site are not known without it", "give a CSV file in UTF-8 whose first line names the columns name and pool"),
    # ------------------------------------------------------------------ E02 shape
    Row("E0201", "an unknown key", "the setting would silently do nothing", "see the keys that may stand here with: tiers explain"),
    Row("E0202", "a missing key", "there is no default that would be right for every site", "add it"),
    Row("E0203", "a key without a value", "it is not clear whether the default is meant or something was forgotten", "give it a value, or remove the key to get the default"),
    Row("E0204", "a value of the wrong kind", "the value cannot mean what stands here", "write the kind of value that is named in the message"),
    Row("E0205", "a version of the format that is not known", "this release would misread the file", "write version: 1, or install a release that knows this version"),
    Row("E0206", "exactly one of several keys", "it is not clear which of them holds", "keep exactly one of the keys that the message names"),
    # ------------------------------------------------------------------ E03 values
    Row("E0301", "not one of the allowed words", "the word means nothing here", "use one of the words that the message names"),
    Row("E0302", "not a size", "without its unit a number means bytes to one reader and gigabytes to another", "write a number and one of B, kB, KiB, MB, MiB, GB, GiB, TB, TiB, such as 12GiB"),
    Row("E0303", "not a rate", "without its unit a number means bits to one reader and bytes to another", "write a size or bits per second, such as 20MiB/s or 100Mbit/s"),
    Row("E0304", "not a duration", "without its unit a number means seconds to one reader and minutes to another", "write a number and one of ms, s, m, h, d, w, such as 30m"),
    Row("E0305", "not a percentage", "0.5 means half to one reader and half of a hundredth to another", "write a number from 0 to 100 and %, such as 25%"),
    Row("E0306", "neither a count nor a percentage", "it is not clear how many machines are meant", "write a count such as 2, or a percentage such as 25%"),
    Row("E0307", "not a threshold", "it is not clear which side is the bad one", 'write > and the limit in quotes, such as ">1%" or ">500ms"'),
    Row("E0308", "not a time, a day or a time zone", "the hours cannot be told", 'write a time as "08:00" in quotes, days as mon-fri or mon,wed, zones as Europe/Berlin'),
    Row("E0309", "a value outside its range", "it cannot be what is meant, or nothing could hold it", "choose a value inside the range that the message names"),
    Row("E0310", "not an address", "nothing could be reached there", "write the address with its scheme, such as file:///data, s3://bucket/prefix, sftp://host/path, mqtts://host:8883"),
    Row("E0311", "a secret written out", "everybody who reads the repository would have it", "change that secret now; then name its place: {secret: NAME/KEY}, {file: PATH} or {env: NAME}"),
    Row("E0312", "a password in an address", "everybody who reads the repository or a log would have it", "change that password now; then remove it here and add credentials: {secret: NAME}"),
    Row("E0313", "not a name with a version", "without a version nobody can tell what runs", "write name@version, such as us-segmentation@1.4.0"),
    Row("E0314", "not a path below a storage", "data outside the storage could be read or overwritten", "write a relative path without '..', empty parts or a / at an end, such as datasets/seg3d"),
    Row("E0315", "not a cause for a retry", "the job would not be started again when it should", "use evicted, failed, or exit:N with N from 1 to 255 in quotes"),
    Row("E0316", "not a name", "Kubernetes, MQTT or a file system would refuse it later", "use lower-case letters, digits and -, at most 63, with a letter or digit at both ends"),
    Row("E0317", "not an image", "a machine could not pull it, or would pull another one tomorrow", "write registry/name:tag, or registry/name@sha256:…"),
    Row("E0318", "not a Kubernetes label", "Kubernetes would refuse the object", "use at most 63 letters, digits, -, _ and . with a letter or digit at both ends"),
    Row("E0319", "a command that cannot be split", "a worker could not start it", "close every quote, or write the words as a list"),
    # ------------------------------------------------------------------ E04 references
    Row("E0401", "an unknown pool", "there are no machines for it", "use a pool of 'tiers', or add it there"),
    Row("E0402", "a tier that this site does not have", "there are no machines and no storage for it", "add it under 'tiers:', or use one that is there"),
    Row("E0403", "an unknown queue", "the job would wait for ever", "use a queue of 'queues:', or add it there"),
    Row("E0404", "an unknown model", "nothing could be served", "use a model of 'models:', or add it there"),
    Row("E0405", "an unknown priority", "Kubernetes would refuse the pods, so the job would wait for ever", "use a priority of 'priorities:', or add it there"),
    Row("E0406", "unknown hardware", "neither architecture nor memory nor engine of these machines is known", "use a known profile, or describe it under 'hardware:'"),
    # ------------------------------------------------------------------ E05 things that do not fit together
    Row("E0501", "a pool name in two tiers", "jobs and models name pools by name alone", "give one of the pools another name"),
    Row("E0502", "a device twice", "two machines would share one identity, so each would see the other's messages", "give every machine a name of its own"),
    Row("E0503", "a gang that does not fit into its pool", "it would wait for ever, because a gang starts complete or not at all", "ask for fewer workers or fewer GPUs, or choose a larger pool"),
    Row("E0504", "a worker that does not fit into one machine", "it would wait for ever, because a worker is one pod on one machine", "spread the GPUs over more workers, or choose a pool with larger machines"),
    Row("E0505", "guarantee, deserved and capability in the wrong order", "Volcano refuses such a queue", "make guarantee <= deserved <= capability; a guarantee needs a deserved of the same kind"),
    Row("E0506", "a queue that promises more than its tier has", "jobs would be admitted that can never start", "promise at most what the machines of the tier have"),
    Row("E0507", "a gang larger than its queue", "it would wait for ever, because the queue never lets it through", "raise the queue's capability, or ask for less"),
    Row("E0508", "a queue of another tier", "the job would be counted against machines that it does not use", "choose a queue of the pool's tier"),
    Row("E0509", "more minimum workers than workers", "it would wait for ever", "make min at most workers, or leave it out for a real gang"),
    Row("E0510", "a route from a tier to itself", "it would copy files onto themselves", "choose another target, or say copies: N to keep copies in several storages of the tier"),
    Row("E0511", "copies that cannot be kept", "there are not that many places", "ask for at most as many copies as the tier has storages, or add a storage"),
    Row("E0512", "a tier without storage", "there is no place to read from or to write to", "add storage: {url: …} to the tier"),
    Row("E0513", "waves that do not grow", "a wave would have nothing to do", "let each wave be larger than the one before, such as [10%, 50%, 100%]"),
    Row("E0514", "waves that do not reach everybody", "a part of the fleet would stay on the old version for ever", "let the last wave be 100%"),
    Row("E0515", "models that fall back in a circle", "a request would go round and never be answered", "let the last model of the chain have no fallback"),
    Row("E0516", "a fallback that is not on the same devices", "a device could not answer with a model that it does not hold", "add these pools to the fallback's pools"),
    Row("E0517", "a tier without a service for the model", "nobody there could answer", "add a service on that tier that serves the model, or remove offload"),
    Row("E0518", "a number format that the hardware lacks", "the model would be slow or not load at all", "choose another precision for this model, or other hardware"),
    Row("E0519", "a pool of the wrong tier", "devices serve models and servers run services and jobs; the other way round nothing starts", "name an edge pool in a model, a pool of another tier in a service or job"),
    Row("E0520", "a service that does not fit into its pool", "some servers would wait for ever", "lower replicas.max or gpus_per_replica, or choose a larger pool"),
    Row("E0521", "thresholds in the wrong order", "servers would be added and removed in turn", "make 'in' smaller than 'out'"),
    Row("E0522", "limits on replicas in the wrong order", "no number of servers would be right", "make min <= peaks <= max"),
    Row("E0523", "GPUs that a pool has to state", "a server may hold four or eight of these cards, and every gang depends on it", "add gpus: N, the number of GPUs in one machine"),
    Row("E0524", "GPUs that the hardware does not have", "pods would wait for GPUs for ever", "remove gpus, or choose hardware with GPUs"),
    Row("E0525", "a tier or pool in no cluster or in two", "its objects would be applied nowhere, or twice", "name each tier, or else each of its pools, in exactly one cluster"),
    Row("E0526", "settings for a device that is not there", "they would hold for nobody", "use the name of a device of this pool"),
    Row("E0527", "settings that only devices have, elsewhere", "servers do not read them", "move them to a pool of the tier edge"),
    Row("E0528", "a peak without length", "no moment lies between its two ends", 'let \'to\' differ from \'from\'; a time before \'from\' means the next day, and a whole day goes from "00:00" to "24:00"'),
    Row("E0529", "memory of a share that nothing limits", "pods that take turns on a GPU can each take all of its memory", "remove memory, or share by mps or vgpu"),
    Row("E0530", "data ahead of need without a measure", "without a budget they would fill the tier with what nobody has read yet; and without bring: ahead nothing looks ahead", "write data: {from: TIER, path: PATH, bring: ahead, budget: 200GiB}; leave budget and ahead out where data come whole"),
    Row("E0531", "more data ahead of need than there is room for", "the tier would be full before the budget is used, and the job could not write", "lower budget, or give the tier's first storage a larger capacity (and claim)"),
    Row("E0532", "data that cannot come ahead of need", "a job reads files in the first storage of its own tier: packs hold none, and what is there already need not come", "give the tier a first storage whose layout is mirror, or name another tier under 'from'; or leave bring out"),
    Row("E0533", "data ahead of need from where a route takes them away", "a file could be gone before it is read", "write bring: whole, which brings back what has gone; or take then: remove_source out of the route"),
    Row("E0534", "weights where files stay files", "a mirror keeps files as they are, so nothing would be saved there", "say layout: packs at that storage, choose another target, or leave content out"),
    # ------------------------------------------------------------------ E080 services, priorities, quotas, machines that may go
    Row("E0801", "an authority that servers cannot read", "the servers would not start", "kubectl create secret generic client-ca --from-file=ca.crt=FILE, then client_ca: {secret: client-ca/ca.crt}"),
    Row("E0803", "more than a quota lets through", "the API server would refuse the pods above it, and a gang of which some are there holds machines and never starts", "raise the quota, or ask for less"),
    Row("W0804", "gangs that do not fit into their quota together", "each may get some of its pods and wait for the rest, so that none of them starts; Volcano looks at no quota with a priority", "raise the quota to the sum, run them one after the other in a flow, or limit them by a queue"),
    Row("E0805", "devices that a cloud may take back", "no cloud knows a machine beside a patient", "remove spot"),
    Row("E0806", "critical work on machines that may go", "a cloud takes such machines back within seconds, all of them at once", "choose a pool without spot, and leave this one to jobs of a lower priority"),
    Row("W0807", "a job that does not survive the loss of a machine", "on machines that the cloud may take back it would begin from nothing each time, or end for good", "add checkpoints: {to: warm, path: checkpoints/NAME} and 'evicted' to retry.after"),
    Row("W0808", "more time for the last checkpoint than there is", "the machine is gone before the time is over, and the checkpoint stays half-written", "make grace no longer, and checkpoints.every shorter than what may be lost"),
    Row("E0809", "a memory-optimised pool with little memory", "what is placed there for its memory would not fit", "correct cpus or memory, or use cpu-node"),
    Row("W0802", "work in a queue that may end nobody", "Volcano asks the PriorityClass also before it takes back what a queue lent, so the lender waits until the borrower is done", "remove preempts: false, or take the job out of the queue"),
    # ------------------------------------------------------------------ E086 watching
    Row("E0860", "a limit that nothing passes", "the alert would never come, however bad it is", "set a limit below what the message names"),
    Row("E0861", "figures too seldom or too often", "rules look at five minutes and need several figures in them; below a second Prometheus measures itself", "choose an interval from 1s to 1m, such as 15s"),
    Row("E0862", "a secret that who watches cannot read", "Prometheus and Alertmanager would not start, or ask without it and be refused", "keep it in a Kubernetes Secret: {secret: NAME/KEY}; programs without an operator also read {file: PATH}"),
    # ------------------------------------------------------------------ E088 scaling of services
    Row("E0880", "scaling without room", "the number of servers could never change", "make replicas.max more than replicas.min, or remove scale"),
    Row("E0881", "scaling from no servers", "with no server there is no queue and no latency, so nothing would ever start one", "set replicas.min to 1 or more"),
    Row("E0882", "a scale without a rule", "an autoscaler would have nothing to go by", "add gpu, queue, p95, errors or peaks, or remove scale"),
    Row("E0883", "the use of GPUs that are not there or not watched", "it could not be measured, so nothing would follow from it", "add gpu: {out: 80%, in: 30%} to a service with GPUs; without GPUs use queue, p95 and errors"),
    Row("E0884", "thresholds that nobody measures", "an autoscaler asks Prometheus about the servers, and would get no answer", "add monitoring: {kind: operator, url: http://HOST:9090}; with kind prometheus also discovery: kubernetes"),
    Row("E0885", "servers that are added and never removed", "the first busy hour would keep them for ever", "add gpu: {out: 80%, in: 30%}, or give queue an 'in'"),
    Row("E0886", "hours for an autoscaler without a calendar", "a HorizontalPodAutoscaler goes by metrics alone, so the peak would have no effect", "use by: keda, or remove the peaks"),
    Row("E0887", "a threshold that nothing passes", "what is refused or not measured never gets above it, so no server would be added", "set 'out' of queue below serving.queue of the models, 'out' of p95 below 10s"),
    Row("W0888", "thresholds so close that servers come and go", "half of the servers go at a time; the others then work twice as much, which is above 'out'", "set 'in' to half of 'out' or less"),
    Row("E0889", "a token that the autoscaler cannot read", "KEDA asks Prometheus from within the cluster, where neither your files nor your variables are", "write token: {secret: NAME/KEY}"),
    # ------------------------------------------------------------------ E06 names that Kubernetes would refuse later
    Row("E0601", "a job name that is no Service name", "Volcano accepts it and its pods then wait for ever", "begin with a letter and use at most 63 letters, digits and -, counting the names of the pods"),
    Row("E0602", "a name that is too long", "names made from it would be longer than the 63 characters that Kubernetes takes", "choose a shorter name"),
    Row("E0603", "a service with a name that it cannot have", "it becomes a Service of Kubernetes, and the workers of a job find each other by one with the job's name", "begin with a letter, and give the service and the job different names"),
    # ------------------------------------------------------------------ E09 what runs beside the models: agents, broker, depot, storages
    Row("E0900", "an agent that is not where its data is", "it could not see the storage that it shall read", "name a pool of the same tier; leave the agent out for edge, where the daemon runs the routes"),
    # ------------------------------------------------------------------ E084 flows, schedules, queues below queues, networks, shared GPUs
    Row("E0840", "an unknown job", "the flow would wait for it for ever", "use a job of 'jobs:', or add it there"),
    Row("E0841", "a step that waits for no step of its flow", "Volcano refuses such a flow", "name another step of the same flow under 'after'"),
    Row("E0842", "steps that wait for each other in a circle", "none of them would ever start, and Volcano refuses such a flow", "take one of these steps out of 'after'"),
    Row("E0843", "a flow or a schedule whose names are too long", "Volcano makes names and labels of it that Kubernetes refuses, and no job would start", "choose a shorter name for the flow or for its jobs"),
    Row("E0844", "a flow with a name that it cannot have", "two jobs would have one name, and only one of them would run", "give the flow another name"),
    Row("E0845", "a flow in two clusters", "Volcano runs a flow in the cluster that it is submitted to, and some of its jobs have no machines there", "make two flows, or move a pool"),
    Row("E0846", "not a cron expression", "Volcano refuses the schedule, or the job would never run", 'write minute, hour, day of the month, month and day of the week in quotes, such as "0 2 * * *", or a word such as "@daily"'),
    Row("E0847", "a queue in a place that it cannot have", "Volcano refuses the queue", "name a parent of the same tier that is not below this queue, at most 5 queues on top of each other"),
    Row("E0848", "queues that have more than the queue above them", "Volcano refuses such queues", "lower the amounts below, or raise those above"),
    Row("E0849", "a job in a queue that has queues below it", "Volcano refuses the job", "use one of the queues below it"),
    Row("E0850", "a rack that says the wrong machines", "workers would be kept together on machines that are not near each other", "give names of machines of this pool, each in one rack, or else labels"),
    Row("E0851", "workers that cannot stand so near to each other", "the gang would wait for ever, or be placed as if all machines were equally near", "describe racks under the pool's nodes that are large enough, or use mode: soft"),
    Row("E0852", "near workers under a scheduler that preempts single workers", "Volcano's preempt passes over such a gang, so it would never take the place of others", "write scheduler: {profile: whole-gang}, or remove network"),
    Row("E0853", "GPUs of a Jetson that are shared", "a Jetson's plugin knows neither time slices nor MPS, and its GPU has no memory of its own; the daemon there serves many models by itself", "remove gpu; device_plugin: true offers the whole GPU"),
    Row("E0854", "more than a share of a GPU", "two shares may be of one GPU, so they are no more than one; a gang that computes on shares is as slow as its neighbours let it be", "ask for one GPU a server, run the gang on a pool without gpu, or share by vgpu"),
    Row("E0855", "shares that do not fit into a GPU", "the last ones would find no memory", "lower memory or replicas"),
    Row("E0856", "a second device plugin on one machine", "both would offer the same GPUs, and Kubernetes would give them away twice", "remove device_plugin; where GPUs are shared, their plugin comes with it"),
    # ------------------------------------------------------------------ E082 KubeEdge: jobs on devices, sensors, messages
    Row("E0820", "a KubeEdge with known holes", "who writes such a job may run commands on every device as root (CVE-2026-62371, CVE-2026-62182)", "move to a version that the message names"),
    Row("E0821", "an upgrade that does not go up", "EdgeCore ahead of CloudCore speaks a protocol that it does not know, and an older EdgeCore may not read the newer one's database", "name a version of CloudCore's release that is not below it; move CloudCore up first: clusters.NAME.kubeedge.version"),
    Row("E0822", "an upgrade of machines without EdgeCore", "the job would find no device", "upgrade pools of the tier edge, and say under clusters.NAME where their kubeedge is"),
    Row("E0823", "a login that KubeEdge cannot read", "devices would pull without it and be refused", "name a Kubernetes Secret of type kubernetes.io/dockerconfigjson: {secret: NAME}"),
    Row("E0824", "a device that is not there", "nothing would ever be read or sent there", "use the name of a device of an edge pool"),
    Row("E0825", "a sensor that has nothing", "no program would read anything", "give it a kind or properties, and pools or devices that have it"),
    Row("E0826", "limits of a property that cannot hold", "the mapper would refuse every value, or none", "let minimum be at most maximum, and only for int, float and double"),
    Row("E0827", "a topic that is taken or matches nothing", "KubeEdge would take the message for one of its own or copy it to the cloud, or never see it", "use a topic of your own such as site/alarms, without wildcards, outside $hw, $ke, SYS, tiers/ and NAME/user/"),
    Row("E0828", "a way that messages cannot go", "KubeEdge's router takes only HTTP to a device's topic, HTTP to a device's service, and a device's topic to HTTP", "write from: {path} to: {topic}, from: {path} to: {path, port}, or from: {topic, devices} to: {url}"),
    Row("E0829", "a message that is too large for the router", "it would be refused or hold up the heartbeats of the device", "send it by a route; the router takes 12 MiB, a service on a device 5 MB"),
    Row("E0830", "two messages from one source", "KubeEdge refuses the second rule", "give one of them another path or topic"),
    Row("W0832", "a message that may get lost, in the clear", "KubeEdge's router has neither TLS nor a login, drops what is on its way when a device disconnects, and answers 200 before anything has arrived", "use it for hints only and let nobody but CloudCore's callers reach port 9443; what matters goes by 'routes' and their outbox; may_be_lost: true says that you know"),
    Row("E0901", "an unknown storage class", "the claim would wait for a volume for ever", "use a class of 'storage_classes:', or add it there; {installed: NAME} for one that the cluster has"),
    Row("E0902", "a volume for one machine that several need", "pods on a second machine would never start", "say access: ReadWriteMany with a class whose driver can do that, or let one pod use it"),
    Row("E0903", "a disk of one machine for several", "no PersistentVolume of a local disk can be ReadWriteMany, so the claim would wait for ever", "say access: ReadWriteOnce, or choose a class with a driver for files that several machines see"),
    Row("E0904", "a claim where no volume can be", "nothing would be mounted", "give claims to file:// storages of hot, warm and cold and to a file:// registry; devices keep data on their own disks"),
    Row("E0905", "a volume that would be needed in two clusters", "each cluster would get a volume of its own, with other data under the same address", "keep the tier in one cluster and its agents with it, or use s3:// or sftp:// between clusters"),
    # ------------------------------------------------------------------ E093 overrides for devices
    Row("E0930", "an override that says nothing", "a rule without a condition would be for every device, and one that sets nothing for no purpose", "name devices under match (names, labels) and settings under set; what is for all devices goes into the tier's settings"),
    Row("E0931", "labels for a device that is not there", "no rule would ever see them", "use the name of a device of this pool"),
    Row("W0931", "an override that matches no device", "it holds for nobody, so a typing mistake would go unnoticed", "compare with names and labels: tiers explain device NAME"),
    Row("E0906", "a broker of ours that cannot be as it is described", "ours is a Mosquitto that takes nobody without a certificate, on servers that do not come and go", "write mqtts://, preset: mosquitto and a pool of hot, warm or cold; leave deploy out for a broker that is there already"),
    Row("E0907", "a secret that no pod can read", "files and variables of this machine are not there in the cluster", "kubectl create secret generic NAME --from-file=KEY=FILE, then {secret: NAME/KEY}"),
    Row("E0908", "a program of the cloud's side that could not work", "it would never be let in by the broker, would run on a device that comes and goes, or would serve devices in a way that none can use", "name a pool of hot, warm or cold; a broker of ours takes nobody without identity: {secret: NAME}, and devices nobody without certificate: {secret: NAME}"),
    # ------------------------------------------------------------------ E095 rollouts
    Row("E0950", "a wave for labels that no device carries", "it would reach nobody, and a typing mistake would go unnoticed", "compare with the labels of the model's devices: nodes.labels, nodes.own_labels or the inventory's columns labels.KEY"),
    Row("E0951", "a pace that cannot be kept", "a limit below the beginning, or growth of nothing, is not what anybody means", "give per_minute, and a most that is not below it; leave growth out where the pace stays"),
    Row("E0952", "a deadline before the end", "the rollout would end unfinished on its best day", "let deadline be longer than soak times the number of waves, canary included"),
    Row("E0910", "files as files where tiers has no folder", "a mirror is written with what only a folder offers: ranges, links, renames", "leave layout out, which means packs there; or mount it and write file:///folder"),
    Row("E0920", "an archive that others could read", "data rest there for years, and whoever runs that place, or breaks into it, could read them all", "tiers sync keygen FILE makes a key (keep a copy!), kubectl create secret generic NAME --from-file=storage.key=FILE brings it into the cluster; then encryption: {key: {secret: NAME}}; encryption: none says no aloud"),
    Row("E0921", "encryption where files stay files", "a mirror and the registry hold what others read as it is, so nothing would be encrypted there", "say layout: packs, or leave encryption out"),
    Row("E0922", "a key that is in no file", "who moves the data reads the key from a file, and would not find it", "write {secret: NAME} for pods, or {file: PATH} for routes that you run by hand"),
    Row("E0925", "a key that this address has no use for", "it would be ignored, and whoever wrote it believes that it counts", "take it out, or look at the address"),
    Row("E0926", "a server that no pod knows", "SSH believes no server whose host key it was not given, so the agent would never get in", "ssh-keyscan -p PORT HOST > known_hosts, compare the fingerprint with its people's, put the file into the Secret, and write known_hosts: {secret: NAME}"),
    Row("E0927", "a storage that is reached over plain http", "everybody on the way could read the data", "give the service a certificate and write https, or name an encryption key"),
    Row("E0928", "an archive that has to be thawed", "S3 gives out an object of this class only hours after somebody asked for it, and each run, verify and recall would fail", "write class: GLACIER_IR, which costs as little to keep and is read at once; or leave class out"),
    Row("E0909", "a broker that takes no plain connection", "AWS IoT Core and Azure Event Grid end every connection without TLS", "write mqtts://HOST:8883"),
    Row("W0910", "a broker that keeps little", "a manifest of a model with very many files or patches may be too large to be kept, which is refused when it is laid out; every depot answers every request", "run one depot; keep models to few files; retained messages are switched on for each namespace; any other broker has no such limits"),
    # ------------------------------------------------------------------ E096 what happens to data as it ages
    Row("E0960", "not a pattern of paths", "the rule would match nothing, or everything", "write *.dcm for names, studies/** for whole paths, without a / at an end"),
    Row("E0961", "a rule that leads nowhere", "nobody could carry it out", "copy and move say a tier with to; demote and recall may; expire, pin and hold do not"),
    Row("E0962", "watermarks that cannot be kept", "room would never be made, or never enough", "let low be at most high, and give the tier's storage a capacity"),
    # ------------------------------------------------------------------ W07 warnings
    Row("W0701", "a Jetson that TensorRT cannot serve", "JetPack 4 brings Python 3.6 and TensorRT 8.2, so models run on ONNX Runtime in a container and are slower", "give its models an offload tier, or plan for Orin hardware"),
    Row("W0702", "a broker without encryption", "anybody on the network can read and change what devices report", "use mqtts://"),
    Row("W0703", "a gang that may start incomplete", "with min below workers a part of the gang holds machines while it waits for the rest", "leave min out, unless the job is elastic"),
    Row("W0704", "few attempts for a job that may be evicted", "each eviction counts as an attempt, so a few of them end the job for good", "set retry.attempts to 100, or make the queue's reclaimable false"),
    Row("W0705", "a rollout that nothing stops", "a bad version would reach the whole fleet", 'add abort_if: {error_rate: ">1%"}'),
    Row("W0706", "a scheduler profile that Volcano calls beta", "it does not take back part of what a gang borrowed, and its behaviour may change with the next version", "use priority, unless a gang must never be ended in part"),
)  # fmt: skip

CATALOGUE: dict[str, Row] = {row.code: row for row in _ROWS}
"""Every kind of problem by its code."""
