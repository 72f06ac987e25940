/* A CUDA driver without a GPU, for processes under test: memory is the host's, and streams do things at once.
 * It has the names and signatures of cuda.h that the engine calls, so what ctypes and cuda-python hand over is tried
 * for real. What a driver refuses it refuses too: no context, an unknown stream, memory that it did not give. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int CUresult;
enum { OK = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, INVALID_CONTEXT = 201, INVALID_HANDLE = 400, UNSUPPORTED = 801 };
#define KEPT 4096
static void *live[KEPT];
static __thread int entered;
static int retained;
static const uintptr_t MAGIC = 0x5EED;

static CUresult keep(void *thing) {
    for (int i = 0; i < KEPT; i++) if (!live[i]) { live[i] = thing; return OK; }
    return OUT_OF_MEMORY;
}
static CUresult forget(void *thing) {
    for (int i = 0; i < KEPT; i++) if (live[i] == thing) { live[i] = 0; free(thing); return OK; }
    return INVALID_HANDLE;
}
static CUresult block(void **out, size_t size) {
    if (!entered) return INVALID_CONTEXT;
    if (size > ((size_t)1 << 31)) return OUT_OF_MEMORY;
    *out = aligned_alloc(256, (size + 255) / 256 * 256);
    return *out ? keep(*out) : OUT_OF_MEMORY;
}
static CUresult handle(void **out) {
    if (!entered) return INVALID_CONTEXT;
    uintptr_t *made = malloc(sizeof *made);
    *made = MAGIC;
    *out = made;
    return keep(made);
}
static CUresult known(void *thing) {
    if (!entered) return INVALID_CONTEXT;
    for (int i = 0; i < KEPT; i++) if (live[i] == thing) return *(uintptr_t *)thing == MAGIC ? OK : INVALID_HANDLE;
    return INVALID_HANDLE;
}

CUresult cuInit(unsigned flags) { return flags ? INVALID_VALUE : OK; }
CUresult cuDeviceGetCount(int *count) { *count = getenv("FAKE_CUDA_DEVICES") ? atoi(getenv("FAKE_CUDA_DEVICES")) : 1; return OK; }
CUresult cuDriverGetVersion(int *version) { *version = 12060; return OK; }
CUresult cuDeviceGet(int *device, int ordinal) { *device = ordinal; return ordinal ? INVALID_VALUE : OK; }
CUresult cuDeviceGetName(char *name, int size, int device) { snprintf(name, size, "Fake GPU"); return device; }
CUresult cuDeviceGetAttribute(int *value, int attribute, int device) {
    int tegra = getenv("FAKE_CUDA_TEGRA") != 0;
    switch (attribute) {
    case 18: *value = tegra; break;
    case 19: *value = 1; break;
    case 75: *value = 8; break;
    case 76: *value = tegra ? 7 : 6; break;
    default: return INVALID_VALUE;
    }
    return device;
}
CUresult cuDeviceTotalMem_v2(size_t *size, int device) { *size = (size_t)1 << 31; return device; }
CUresult cuDevicePrimaryCtxRetain(void **context, int device) { retained++; *context = &retained; return device; }
CUresult cuDevicePrimaryCtxRelease_v2(int device) { return retained-- > 0 ? device : INVALID_CONTEXT; }
CUresult cuCtxPushCurrent_v2(void *context) { if (context != &retained) return INVALID_CONTEXT; entered++; return OK; }
CUresult cuCtxPopCurrent_v2(void **context) { if (!entered) return INVALID_CONTEXT; entered--; *context = &retained; return OK; }
CUresult cuMemGetInfo_v2(size_t *left, size_t *total) { *left = *total = (size_t)1 << 31; return entered ? OK : INVALID_CONTEXT; }
CUresult cuMemAlloc_v2(uint64_t *address, size_t size) { void *made = 0; CUresult r = block(&made, size); *address = (uint64_t)made; return r; }
CUresult cuMemFree_v2(uint64_t address) { return forget((void *)address); }
CUresult cuMemHostAlloc(void **start, size_t size, unsigned flags) { (void)flags; return block(start, size); }
CUresult cuMemFreeHost(void *start) { return forget(start); }
CUresult cuMemHostGetDevicePointer_v2(uint64_t *address, void *start, unsigned flags) { *address = (uint64_t)start; return (int)flags; }
CUresult cuMemcpyHtoDAsync_v2(uint64_t to, const void *from, size_t size, void *stream) {
    CUresult r = known(stream);
    if (!r) memcpy((void *)to, from, size);
    return r;
}
CUresult cuMemcpyDtoHAsync_v2(void *to, uint64_t from, size_t size, void *stream) {
    CUresult r = known(stream);
    if (!r) memcpy(to, (void *)from, size);
    return r;
}
CUresult cuStreamCreate(void **stream, unsigned flags) { return flags == 1 ? handle(stream) : INVALID_VALUE; }
CUresult cuStreamDestroy_v2(void *stream) { return forget(stream); }
CUresult cuEventCreate(void **event, unsigned flags) { return flags == 3 ? handle(event) : INVALID_VALUE; }
CUresult cuEventRecord(void *event, void *stream) { CUresult r = known(event); return r ? r : known(stream); }
CUresult cuEventSynchronize(void *event) { return known(event); }
CUresult cuEventDestroy_v2(void *event) { return forget(event); }
CUresult cuStreamBeginCapture_v2(void *stream, int mode) { return known(stream) ? INVALID_HANDLE : mode == 1 ? UNSUPPORTED : INVALID_VALUE; }
CUresult cuStreamEndCapture(void *stream, void **graph) { *graph = 0; return known(stream) ? INVALID_HANDLE : UNSUPPORTED; }
CUresult cuGraphInstantiateWithFlags(void **made, void *graph, uint64_t flags) { (void)made; (void)graph; (void)flags; return UNSUPPORTED; }
CUresult cuGraphLaunch(void *graph, void *stream) { (void)graph; (void)stream; return UNSUPPORTED; }
CUresult cuGraphExecDestroy(void *graph) { (void)graph; return UNSUPPORTED; }
CUresult cuGraphDestroy(void *graph) { (void)graph; return UNSUPPORTED; }
CUresult cuGetErrorString(CUresult error, const char **text) { *text = error == UNSUPPORTED ? "operation not supported" : "refused"; return OK; }

/* cuda-python asks for every function by its plain name. */
CUresult cuGetProcAddress_v2(const char *symbol, void **function, int version, uint64_t flags, int *status) {
    char name[200];
    (void)version; (void)flags;
    snprintf(name, sizeof name, "%s_v2", symbol);
    Dl_info self;
    dladdr((void *)cuInit, &self);
    void *library = dlopen(self.dli_fname, RTLD_NOW | RTLD_NOLOAD);
    *function = dlsym(library, name);
    if (!*function) *function = dlsym(library, symbol);
    if (!*function && !strcmp(symbol, "cuGraphInstantiate")) *function = (void *)cuGraphInstantiateWithFlags;
    if (status) *status = *function ? 0 : 1;
    return *function ? OK : 500;
}
CUresult cuGetProcAddress(const char *symbol, void **function, int version, uint64_t flags) {
    return cuGetProcAddress_v2(symbol, function, version, flags, 0);
}
