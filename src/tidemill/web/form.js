// A form whose fields the server describes. What is typed stays here until it is sent.
export default {
  template: `
    <form class="stack form" @submit.prevent="send" novalidate>
      <template v-for="field in fields" :key="field.name">
        <div v-if="shown(field)" :class="['field', field.kind === 'switch' && 'field-switch']">
          <fieldset v-if="field.kind === 'choices'" class="choices" :aria-describedby="described(field)">
            <legend>{{ field.label }}</legend>
            <label v-for="option in field.options" :key="option.value" class="choice">
              <input type="checkbox" :value="option.value" v-model="values[field.name]" @change="tell(field)">
              <span>{{ option.label }}</span><span v-if="option.help" class="muted">{{ option.help }}</span>
            </label>
          </fieldset>
          <fieldset v-else-if="field.kind === 'radio'" :aria-describedby="described(field)">
            <legend>{{ field.label }}</legend>
            <label v-for="option in field.options" :key="option.value" class="choice">
              <input type="radio" :name="id(field)" :value="option.value" v-model="values[field.name]" @change="tell(field)">
              <span>{{ option.label }}</span><span v-if="option.help" class="muted">{{ option.help }}</span>
            </label>
          </fieldset>
          <label v-else-if="field.kind === 'switch'" class="switch">
            <input type="checkbox" role="switch" :id="id(field)" v-model="values[field.name]"
              :aria-describedby="described(field)" @change="tell(field)">
            <span>{{ field.label }}</span>
          </label>
          <template v-else>
            <label :for="id(field)">{{ field.label }}<span v-if="!field.required" class="optional">optional</span></label>
            <select v-if="field.kind === 'select'" v-model="values[field.name]" v-bind="common(field)" @change="tell(field)">
              <option v-if="!field.required || !values[field.name]" value="">{{ field.placeholder || 'Choose …' }}</option>
              <option v-for="option in field.options" :key="option.value" :value="option.value">{{ option.label }}</option>
            </select>
            <textarea v-else-if="field.kind === 'text' || field.kind === 'file'" v-model="values[field.name]"
              v-bind="common(field)" :rows="field.rows || 5" spellcheck="false" @change="tell(field)"
              @dragover.prevent @drop.prevent="dropped(field, $event)"></textarea>
            <input v-else :type="kinds[field.kind] || 'text'" v-model="values[field.name]" v-bind="common(field)"
              :min="field.min" :max="field.max" :step="field.kind === 'number' ? 'any' : undefined"
              :list="field.options ? id(field) + '-list' : undefined" @change="tell(field)">
            <datalist v-if="field.options && field.kind !== 'select'" :id="id(field) + '-list'">
              <option v-for="option in field.options" :key="option.value" :value="option.value">{{ option.label }}</option>
            </datalist>
            <p v-if="field.kind === 'file'" class="file">
              <label class="button button-plain" tabindex="0" @keydown.enter.prevent="$event.target.control.click()"
                @keydown.space.prevent="$event.target.control.click()">Choose a file
                <input type="file" class="unseen" tabindex="-1" :accept="field.accept" @change="chosen(field, $event)">
              </label>
              <span class="muted">{{ names[field.name] || 'or paste its content above' }}</span>
            </p>
          </template>
          <p v-if="field.help" class="field-help" :id="id(field) + '-help'">{{ field.help }}</p>
          <p v-if="error(field)" class="field-error" :id="id(field) + '-error'">{{ error(field) }}</p>
        </div>
      </template>
      <div v-if="failure" class="notice notice-bad" role="alert">
        <p class="notice-title"><span>{{ failure.message }}</span></p>
        <p v-if="failure.hint">{{ failure.hint }}</p><p class="notice-code">{{ failure.code }}</p>
      </div>
      <div class="form-actions">
        <button class="button button-primary" type="submit" :aria-disabled="busy || undefined" :aria-busy="busy">{{ submit }}</button>
        <button v-for="one in others" :key="one.act" class="button button-plain" type="button" :aria-disabled="busy || undefined"
          @click="send(one.act)">{{ one.label }}</button>
      </div>
    </form>
  `,
  props: { fields: Array, submit: String, others: Array, errors: Object, failure: Object, busy: Boolean, turn: Number },
  data() {
    return {
      values: this.first(),
      names: {},
      local: {},
      kinds: { number: "number", secret: "password", mail: "email", url: "url", date: "date", moment: "datetime-local" },
    };
  },
  watch: {
    turn() {
      // the server has set values: these alone
      for (const field of this.fields) {
        if (field.set || !(field.name in this.values)) this.values[field.name] = this.initial(field);
      }
      this.$nextTick(() => this.$el.querySelector("[aria-invalid=true]")?.focus());
    },
  },
  methods: {
    id(field) {
      return `f${this.$el?.id ?? ""}-${field.name}`.replaceAll(".", "-");
    },
    initial(field) {
      if (field.kind === "secret") return "";
      if (field.kind === "choices") return [...(field.value ?? [])];
      if (field.kind === "switch") return Boolean(field.value);
      return field.value ?? "";
    },
    first() {
      return Object.fromEntries(this.fields.map((field) => [field.name, this.initial(field)]));
    },
    shown(field) {
      return !field.when || [].concat(field.when.values).includes(this.values[field.when.name]);
    },
    error(field) {
      return this.local[field.name] || this.errors?.[field.name];
    },
    described(field) {
      const found = [field.help && "help", this.error(field) && "error"].filter(Boolean);
      return found.map((what) => `${this.id(field)}-${what}`).join(" ") || undefined;
    },
    common(field) {
      return {
        id: this.id(field),
        name: field.name,
        placeholder: field.placeholder,
        required: field.required || undefined,
        autocomplete: field.kind === "secret" ? "new-password" : "off",
        "aria-describedby": this.described(field),
        "aria-invalid": this.error(field) ? "true" : undefined,
        class: field.mono ? "mono" : undefined,
      };
    },
    tell(field) {
      delete this.local[field.name];
      if (field.told) this.$emit("changed", { name: field.name, value: this.values[field.name] });
    },
    send(act) {
      if (this.busy) return;
      this.local = {};
      for (const field of this.fields) {
        const value = this.values[field.name];
        const none = value === "" || value === null || (Array.isArray(value) && !value.length);
        if (this.shown(field) && field.required && none) this.local[field.name] = "This is needed.";
      }
      if (Object.keys(this.local).length) {
        this.$nextTick(() => this.$el.querySelector("[aria-invalid=true]")?.focus());
        return;
      }
      const shown = this.fields.filter((field) => this.shown(field)).map((field) => [field.name, this.values[field.name]]);
      this.$emit("sent", { act: typeof act === "string" ? act : "submit", values: Object.fromEntries(shown) });
    },
    async read(field, file) {
      if (!file) return;
      if (file.size > (field.most ?? 500_000)) {
        this.local[field.name] = `This file is too large: at most ${(field.most ?? 500_000).toLocaleString()} bytes.`;
        return;
      }
      this.values[field.name] = await file.text();
      this.names[field.name] = file.name;
      this.tell(field);
    },
    chosen(field, event) {
      this.read(field, event.target.files[0]);
      event.target.value = "";
    },
    dropped(field, event) {
      if (field.kind === "file") this.read(field, event.dataTransfer.files[0]);
    },
  },
};
