// Boost.Interprocess behind functions that C can call. Each does a whole loop, so that the call costs nothing that is seen.

#include <boost/container_hash/hash.hpp>
#include <boost/interprocess/allocators/allocator.hpp>
#include <boost/interprocess/containers/string.hpp>
#include <boost/interprocess/containers/vector.hpp>
#include <boost/interprocess/managed_shared_memory.hpp>
#include <boost/unordered_map.hpp>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace ipc = boost::interprocess;

using Segment = ipc::managed_shared_memory;
template <class T> using Alloc = ipc::allocator<T, Segment::segment_manager>;
using Numbers = boost::unordered_map<uint64_t, uint64_t, boost::hash<uint64_t>, std::equal_to<uint64_t>,
                                     Alloc<std::pair<const uint64_t, uint64_t>>>;
using Text = ipc::basic_string<char, std::char_traits<char>, Alloc<char>>;

struct TextHash {
    size_t operator()(std::string_view s) const { return boost::hash_range(s.begin(), s.end()); }
    size_t operator()(const Text &s) const { return (*this)(std::string_view(s.data(), s.size())); }
};
struct TextEqual {
    static std::string_view view(std::string_view s) { return s; }
    static std::string_view view(const Text &s) { return {s.data(), s.size()}; }
    template <class A, class B> bool operator()(const A &a, const B &b) const { return view(a) == view(b); }
};
using Texts = boost::unordered_map<Text, uint64_t, TextHash, TextEqual, Alloc<std::pair<const Text, uint64_t>>>;
using Vector = ipc::vector<uint64_t, Alloc<uint64_t>>;

struct Bench {
    std::string name;
    Segment segment;
    Numbers *numbers;
    Texts *texts;
    Vector *vector;
    std::vector<void *> live;
    uint64_t steps = 0;

    Bench(const char *n, size_t bytes)
        : name(n), segment(ipc::create_only, n, bytes),
          numbers(segment.construct<Numbers>("numbers")(0, boost::hash<uint64_t>(), std::equal_to<uint64_t>(),
                                                        Alloc<char>(segment.get_segment_manager()))),
          texts(segment.construct<Texts>("texts")(0, TextHash(), TextEqual(), Alloc<char>(segment.get_segment_manager()))),
          vector(segment.construct<Vector>("vector")(Alloc<char>(segment.get_segment_manager()))) {}
    ~Bench() { ipc::shared_memory_object::remove(name.c_str()); }
};

static uint64_t splitmix(uint64_t i) {
    uint64_t z = (i + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

// Boost tells of a full segment by throwing: that must not leave C++.
template <class F> static bool guarded(F f) {
    try {
        f();
        return true;
    } catch (const std::exception &e) {
        std::fprintf(stderr, "Boost.Interprocess: %s\n", e.what());
        return false;
    }
}

extern "C" {

Bench *bip_open(const char *name, size_t bytes) {
    Bench *bench = nullptr;
    guarded([&] {
        ipc::shared_memory_object::remove(name);
        bench = new Bench(name, bytes);
    });
    return bench;
}

void bip_close(Bench *b) { delete b; }

void bip_map_empty(Bench *b) {
    b->numbers->clear();
    b->numbers->rehash(0);
}

bool bip_map_insert(Bench *b, uint64_t n, uint64_t room) {
    return guarded([&] {
        b->numbers->reserve(room);
        for (uint64_t i = 0; i < n; i++) b->numbers->emplace(splitmix(i), i);
    });
}

uint64_t bip_map_get(const Bench *b, const uint64_t *keys, size_t count) {
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        auto found = b->numbers->find(keys[i]);
        sum += found == b->numbers->end() ? 1 : found->second;
    }
    return sum;
}

uint64_t bip_map_overwrite(Bench *b, const uint64_t *keys, size_t count) {
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t &value = (*b->numbers)[keys[i]];
        sum += value;
        value = keys[i];
    }
    return sum;
}

uint64_t bip_map_remove(Bench *b, uint64_t n) {
    uint64_t removed = 0;
    for (uint64_t i = 0; i < n; i++) removed += b->numbers->erase(splitmix(i));
    return removed;
}

uint64_t bip_map_iterate(const Bench *b) {
    uint64_t sum = 0;
    for (const auto &entry : *b->numbers) sum += entry.first ^ (entry.second << 7 | entry.second >> 57);
    return sum;
}

bool bip_text_insert(Bench *b, const char *block, size_t length, size_t count) {
    return guarded([&] {
        Alloc<char> alloc(b->segment.get_segment_manager());
        b->texts->reserve(count);
        for (size_t i = 0; i < count; i++) b->texts->emplace(Text(block + i * length, length, alloc), i);
    });
}

uint64_t bip_text_get(const Bench *b, const char *block, size_t length, size_t count) {
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        auto found = b->texts->find(std::string_view(block + i * length, length), TextHash(), TextEqual());
        sum += found == b->texts->end() ? 1 : found->second;
    }
    return sum;
}

void bip_vec_empty(Bench *b) {
    b->vector->clear();
    b->vector->shrink_to_fit();
}

bool bip_vec_push(Bench *b, uint64_t n, uint64_t room) {
    return guarded([&] {
        b->vector->reserve(room);
        for (uint64_t i = 0; i < n; i++) {
            uint64_t x = i;
            asm volatile("" : "+r"(x));
            b->vector->push_back(x);
        }
    });
}

bool bip_pairs(Bench *b, size_t size, size_t count) {
    return guarded([&] {
        for (size_t i = 0; i < count; i++) {
            void *block = b->segment.allocate(size);
            asm volatile("" : "+r"(block) : : "memory");
            b->segment.deallocate(block);
        }
    });
}

static void *block_of(Bench *b, size_t size) {
    void *block = b->segment.allocate(size);
    *static_cast<uint64_t *>(block) = size;
    return block;
}

static size_t size_of_step(uint64_t i) { return 16 + (splitmix(i) >> 40) % 1009; }

// Frees one of `live` blocks at random and allocates another, over and over.
bool bip_churn(Bench *b, size_t live, size_t steps) {
    return guarded([&] {
        while (b->live.size() < live) b->live.push_back(block_of(b, size_of_step(b->live.size())));
        for (uint64_t i = b->steps; i < b->steps + steps; i++) {
            void *&victim = b->live[splitmix(i) % live];
            b->segment.deallocate(victim);
            victim = block_of(b, size_of_step(i));
        }
        b->steps += steps;
    });
}

bool bip_names_make(Bench *b, uint64_t from, uint64_t to) {
    return guarded([&] {
        for (uint64_t i = from; i < to; i++) b->segment.construct<uint64_t>(("object-" + std::to_string(i)).c_str())(i);
    });
}

// Finds the object of that name; its number, or all ones.
uint64_t bip_names_find(Bench *b, const char *name) {
    auto found = b->segment.find<uint64_t>(name);
    return found.first ? *found.first : UINT64_MAX;
}
}
