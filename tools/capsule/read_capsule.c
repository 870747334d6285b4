/* Reads a golden capsule (docs/capsule.md), prints what it holds, and hashes its floats. Little-endian machines.
   cc -O2 -o read_capsule read_capsule.c && ./read_capsule resnet20.capsule */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct header { char magic[8]; uint32_t version, crc; uint64_t bytes; char target[16];
                uint64_t model, model_bytes, table; uint32_t entries, inputs, flags, zero; };
struct entry { uint64_t name, data, bytes; uint8_t kind, type[3]; uint32_t rank, shape[8]; };
static const char *const kinds[] = {"input", "output", "packed"};

static uint64_t fnv1a64(const unsigned char *data, uint64_t bytes) {
    uint64_t hash = 0xcbf29ce484222325u;
    for (uint64_t i = 0; i < bytes; i++) hash = (hash ^ data[i]) * 0x100000001b3u;
    return hash;
}
static uint32_t crc32(const unsigned char *data, uint64_t bytes) {
    uint32_t crc = ~0u;
    for (uint64_t i = 0; i < 8 * bytes; i++) crc = crc >> 1 ^ (0xedb88320u & -((crc ^ data[i / 8] >> i % 8) & 1));
    return ~crc;
}
static int fail(const char *reason) { return fprintf(stderr, "not a sound capsule: %s\n", reason), 1; }
static int inside(uint64_t total, uint64_t place, uint64_t size) { return place <= total && size <= total - place; }
int main(int argc, char **argv) {
    struct header h;
    FILE *file = argc == 2 ? fopen(argv[1], "rb") : NULL;
    if (!file) return fail("give the path of one");
    if (fread(&h, sizeof h, 1, file) != 1 || memcmp(h.magic, "FDABNCAP", 8) || h.version != 1) return fail("header");
    unsigned char *all = h.bytes < sizeof h || h.bytes > SIZE_MAX ? NULL : malloc(h.bytes);
    if (!all || fseek(file, 0, SEEK_SET) || fread(all, 1, h.bytes, file) != h.bytes) return fail("size");
    if (crc32(all + 16, h.bytes - 16) != h.crc) return fail("checksum");
    if (!inside(h.bytes, h.model, h.model_bytes) || !inside(h.bytes, h.table, 64ull * h.entries)) return fail("a part lies outside");
    const char *kind = h.flags & 1 ? "exact" : "float", *same = h.flags & 2 ? ", same accuracy, not the same decisions" : "";
    printf("%.16s model %" PRIu64 " 0x%016" PRIx64 ", %" PRIu32 " inputs, %s%s\n", h.target, h.model_bytes,
           fnv1a64(all + h.model, h.model_bytes), h.inputs, kind, same);
    for (uint32_t i = 0; i < h.entries; i++) {
        struct entry e;
        memcpy(&e, all + h.table + i * sizeof e, sizeof e);
        uint64_t step = e.kind == 2 ? 8 : e.bytes; /* packed signs: only their hash, to compare a runtime's words with */
        if (e.kind > 2 || (h.inputs && step > h.bytes / h.inputs) || !inside(h.bytes, e.data, step * h.inputs)) return fail("entry");
        if (e.name >= h.bytes || !memchr(all + e.name, 0, h.bytes - e.name)) return fail("name");
        for (uint32_t n = 0; n < h.inputs; n++) {
            uint64_t hash = fnv1a64(all + e.data + step * n, step);
            if (e.kind == 2) memcpy(&hash, all + e.data + step * n, sizeof hash);
            printf("%s %s %" PRIu32 " 0x%016" PRIx64 "\n", kinds[e.kind], (char *)all + e.name, n, hash);
        }
    }
    return free(all), fclose(file);
}
