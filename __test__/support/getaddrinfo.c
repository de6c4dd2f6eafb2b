// Replaces the system's getaddrinfo (LD_PRELOAD): the name moving.test resolves to the address in the
// file that MOVING_TEST names.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int lookup(const char *, const char *, const struct addrinfo *, struct addrinfo **);

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **answer) {
  lookup *next = (lookup *)dlsym(RTLD_NEXT, "getaddrinfo");
  char address[64] = "";
  if (node != NULL && strcmp(node, "moving.test") == 0) {
    FILE *file = fopen(getenv("MOVING_TEST"), "r");
    if (file == NULL || fscanf(file, "%63s", address) != 1) return EAI_AGAIN;
    fclose(file);
    node = address;
  }
  return next(node, service, hints, answer);
}
