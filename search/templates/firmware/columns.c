
const char *const model_column_names[MODEL_COLUMNS] = {
$column_names
};

const unsigned char model_column_needed[MODEL_COLUMNS] = {
$column_needed
};

struct categories {
  const char *const *texts;
  int count;
  int any_case; /* booleans: true, TRUE and True are the same */
};

$category_texts
static const struct categories kCategories[MODEL_COLUMNS] = {
$category_tables
};

static char lower(char c, int any_case) { return any_case && c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c; }

static int same(const char *a, const char *b, int any_case) {
  while (*a != '\0' && lower(*a, any_case) == lower(*b, any_case)) {
    ++a;
    ++b;
  }
  return *a == '\0' && *b == '\0';
}

int model_category(int column, const char *text) {
  int i;
  if (column < 0 || column >= MODEL_COLUMNS) return -1;
  for (i = 0; i < kCategories[column].count; ++i) {
    if (same(text, kCategories[column].texts[i], kCategories[column].any_case)) return i;
  }
  return -1;
}
