// Text that the server renders. What changed is changed in place, so that focus, selection and open menus stay.
export default {
  template: `<component :is="tag"></component>`,
  props: { content: String, tag: String },
  mounted() {
    this.$el.innerHTML = this.content;
    this.$el.addEventListener("click", this.clicked);
    this.$el.addEventListener("change", this.changed);
    this.$el.addEventListener("input", this.typed);
    globalThis.tidemill?.look(this.$el);
  },
  updated() {
    const fresh = this.$el.cloneNode(false);
    fresh.innerHTML = this.content;
    morph(this.$el, fresh);
    globalThis.tidemill?.look(this.$el);
  },
  methods: {
    clicked(event) {
      const found = event.target.closest("[data-act]");
      if (!found || found.ariaDisabled || !this.$el.contains(found) || event.metaKey || event.ctrlKey || event.shiftKey) return;
      if (found.tagName === "A") event.preventDefault();
      if (found.dataset.url) history.replaceState(history.state, "", found.dataset.url);
      this.$emit("act", { act: found.dataset.act, value: found.dataset.value ?? "" });
    },
    changed(event) {
      const found = event.target.closest("[data-field]");
      if (!found || found.type === "search") return;
      const value = found.type === "checkbox" ? (found.checked ? "1" : "") : found.value;
      this.$emit("act", { act: `field:${found.dataset.field}`, value });
    },
    typed(event) {
      const found = event.target.closest("input[type=search][data-field]");
      if (!found) return;
      clearTimeout(this.typing);
      this.typing = setTimeout(
        () => this.$emit("act", { act: `field:${found.dataset.field}`, value: found.value }),
        250,
      );
    },
  },
};

function morph(old, fresh) {
  const keyed = new Map();
  for (const child of old.children) if (child.id || child.dataset.key) keyed.set(child.id || child.dataset.key, child);
  let here = old.firstChild;
  for (const wanted of [...fresh.childNodes]) {
    const key = wanted.nodeType === 1 && (wanted.id || wanted.dataset.key);
    let match = key ? keyed.get(key) : here;
    if (match && !key && (match.nodeType !== wanted.nodeType || match.nodeName !== wanted.nodeName)) match = undefined;
    if (match && !key && match.nodeType === 1 && (match.id || match.dataset.key)) match = undefined;
    if (!match || match.nodeName !== wanted.nodeName) {
      old.insertBefore(wanted, here);
      continue;
    }
    if (match === here) here = here.nextSibling;
    else old.insertBefore(match, here);
    if (match.nodeType !== 1) {
      if (match.nodeValue !== wanted.nodeValue) match.nodeValue = wanted.nodeValue;
      continue;
    }
    if (!match.isEqualNode(wanted)) {
      adopt(match, wanted);
      morph(match, wanted);
    }
  }
  while (here) {
    const next = here.nextSibling;
    here.remove();
    here = next;
  }
}

function adopt(old, fresh) {
  const typing = document.activeElement === old && /^(INPUT|TEXTAREA|SELECT)$/.test(old.tagName);
  for (const { name } of [...old.attributes])
    if (!fresh.hasAttribute(name) && !(name === "open" && old.tagName === "DETAILS")) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    if (name === "value" && !typing && old.value !== value) old.value = value;
  }
}
